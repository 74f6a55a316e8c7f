A message is late

Three writes; the second record needs another 20 ms on its way. The replica reports what it has without a hole:
nothing behind the missing record counts, so nothing behind it is acknowledged.

$ world sync 2
$ quiet 3s
$ lose record A B
$ write A 4 2
$ write A 10 1
$ write A 20 1
$ run 30ms
[      1us] A > B  RECORD 2 of epoch 1   (lost on the way)
[      1us] A > B  RECORD 3 of epoch 1
[      1us] A > B  RECORD 4 of epoch 1
[      1us] A journal 2..4, commit 1
[    102us] A journal synced
[  21002us] B journal 2..4, commit 1
[  21053us] B > A  ACK: written 4, durable 1
[  21103us] B journal synced
[  21104us] B > A  ACK: written 4, durable 4
[  22054us] A write 2: acknowledged
[  22054us] A write 3: acknowledged
[  22054us] A write 4: acknowledged
[  22105us] A > B  COMMIT 4, sync to 0
$ quiet 2s
$ expect level
