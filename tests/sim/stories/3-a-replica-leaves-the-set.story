A replica leaves the in-sync set, and returns

The sites are cut from each other. Writes wait for the replica, until it has made no progress for five seconds;
then the store is asked to take it out, and only when the store has said so do they go on alone.

$ world sync 2
$ quiet 3s
$ cut A B
$ write A 4 2
$ run 6s
[      1us] A > B  RECORD 2 of epoch 1
[      1us] A journal 2..2, commit 1
[    102us] A journal synced
[2050000us] A session with B is down
[2050000us] B session with A is down
[2050001us] A ! site 1 disconnected
[5005001us]   the store: epoch 1 of A, set A
[5006002us] A ! site 1 is out of the in-sync set: writes go on without it
[5006002us] A write 2: acknowledged
[5008103us] A journal synced
[5008104us] A applies to volume 0, blocks 4..5

When the link is back the replica catches up from the journal, and is a member again when it holds everything.

$ heal
$ run 120ms
[  51000us] A session with B is up
[  51001us] A > B  HELLO
[  52000us] B session with A is up
[  52001us] B > A  HELLO
[  52001us] B > A  HELLO
[  53002us] A > B  HELLO
[  53002us] A > B  ATTACH: keep up to 1, epoch 1 follows
[  54003us] B > A  ATTACHED: stands at 1, result 0
[  55004us] A ! site 1 is attached at sequence 1 and catches up to 2
[  55004us] A > B  COMMIT 2, sync to 0
[  55055us] A > B  RECORD 2 of epoch 1
[  56056us] B journal 2..2, commit 2
[  56107us] B > A  ACK: written 2, durable 1
[  56157us] B journal synced
[  56158us] B > A  ACK: written 2, durable 2
[  56158us] B applies to volume 0, blocks 4..5
[  60108us]   the store: epoch 1 of A, set A B
[  61109us] A ! site 1 is in sync
$ quiet 2s
$ expect set A B
$ expect level
