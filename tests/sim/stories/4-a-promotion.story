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
[2010001us] B is claiming
[2040000us] B session with A is down
[5166002us]   the store: epoch 2 of B, set B
[5167003us] B is opening
[5167205us] B ! open for writes in epoch 2 from sequence 2
[5167205us] B journal 2..2, commit 1
[5167205us] B is primary
[5167306us] B journal synced
[5217408us] B journal synced
$ write B 8 1
$ run 10ms
[      1us] B journal 3..3, commit 2
[     52us] B write 3: acknowledged
[    102us] B journal synced

The old primary comes back. What it wrote and nobody else has goes to a salvage file and is cut.

$ start A
$ run 120ms
[  42051us] B journal synced
[  42052us] B applies to volume 0, blocks 8..8
[  81000us] A session with B is up
[  81001us] A > B  HELLO
[  82000us] B session with A is up
[  82001us] B > A  HELLO
[  82001us] B > A  HELLO
[  82001us] B > A  ATTACH: keep up to 1, epoch 2 follows
[  83001us] A > B  HELLO
[  83001us] A ! records 2 to 2 are not in the new primary's order: they go to a salvage file and are cut
[  83001us] A keeps its records above 1 for salvage
[  83254us] A > B  ATTACHED: stands at 1, result 0
[  83254us] A > B  ACK: written 1, durable 0
[  83304us] A journal synced
[  83305us] A > B  ACK: written 1, durable 1
[  84255us] B ! site 0 is attached at sequence 1 and catches up to 3
[  84255us] B > A  COMMIT 3, sync to 1
[  84306us] B > A  RECORD 2 of epoch 2
[  84357us] B > A  RECORD 3 of epoch 2
[  85307us] A journal 2..2, commit 2
[  85358us] A > B  ACK: written 2, durable 1
[  85358us] A journal 3..3, commit 3
[  85409us] A > B  ACK: written 3, durable 1
[  89410us]   the store: epoch 2 of B, set A B
[  90411us] B ! site 0 is in sync
$ quiet 2s
$ expect primary B
$ expect set A B
$ expect level
