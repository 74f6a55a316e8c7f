A promotion, and the old primary returns

The primary loses its power with a write that the replica never got. The replica is a member of the set, so it
may be promoted; but the lease of the lost site must have run out first.

$ world sync 2
$ quiet 3s
$ cut A B
$ write A 4 2
$ quiet 10ms
$ power A
$ heal
$ promote B
$ run 8s
[      1us] B > A  HELLO
[      1us] B is gathering
[2007900us] B is claiming
[2040000us] B session with A is down
[5107790us]   the store: epoch 2 of B, set B
[5108791us] B is opening
[5108892us] B ! open for writes in epoch 2 from sequence 2
[5108892us] B journal 2..2, commit 1
[5108892us] B is primary
[5108993us] B journal synced
[5159095us] B journal synced
$ write B 8 1
$ run 10ms
[      1us] B journal 3..3, commit 2
[     52us] B write 3: acknowledged
[    102us] B journal synced

The old primary comes back. What it wrote and nobody else has goes to a salvage file and is cut.

$ start A
$ run 120ms
[  40102us] B journal synced
[  40103us] B applies to volume 0, blocks 8..8
[  81000us] A session with B is up
[  81001us] A > B  HELLO
[  82000us] B session with A is up
[  82001us] B > A  HELLO
[  82001us] B > A  HELLO
[  82001us] B > A  ATTACH: keep up to 1, epoch 2 follows
[  83001us] A > B  HELLO
[  83001us] A keeps its records above 1 for salvage
[  83001us] A ! records 2 to 2 never were committed: they go to a salvage file and are cut
[  83103us] A > B  ATTACHED: stands at 1, result 0
[  83103us] A > B  ACK: written 1, durable 0
[  83153us] A journal synced
[  83154us] A > B  ACK: written 1, durable 1
[  84104us] B ! site 0 is attached at sequence 1 and catches up to 3
[  84104us] B > A  COMMIT 3, sync to 1
[  84155us] B > A  RECORD 2 of epoch 2
[  84206us] B > A  RECORD 3 of epoch 2
[  85156us] A journal 2..2, commit 2
[  85207us] A > B  ACK: written 2, durable 1
[  85207us] A journal 3..3, commit 3
[  85258us] A > B  ACK: written 3, durable 1
[  89259us]   the store: epoch 2 of B, set A B
[  90260us] B ! site 0 is in sync
