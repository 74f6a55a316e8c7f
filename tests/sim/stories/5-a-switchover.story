A switchover

The primary brings everybody level, stops answering, and only then lets go in the store. The other site takes
what nobody holds without waiting for a lease.

$ world sync 2
$ quiet 3s
$ write A 4 2
$ quiet 200ms
$ switchover A B
$ run 1s
[      1us] A ! drained at sequence 2: every member holds everything
[      1us] A is drained
[  20001us] A > B  COMMIT 2, sync to 2
[  51259us] B > A  ACK: written 2, durable 2
[ 132260us] A > B  COMMIT 2, sync to 2
[ 150175us] A ! no longer primary in epoch 1 (epoch 1 was seen)
[ 150175us] A is replica
[ 151259us] B > A  ACK: written 2, durable 2
[ 251259us] B > A  ACK: written 2, durable 2
[ 351259us] B > A  ACK: written 2, durable 2
[ 424520us] B > A  HELLO
[ 424520us] B is gathering
[ 425521us] A > B  HELLO
[ 426522us] B is claiming
[ 449522us]   the store: epoch 2 of B, set B
[ 450523us] B is opening
[ 450624us] B ! open for writes in epoch 2 from sequence 3
[ 450624us] B > A  HELLO
[ 450624us] B journal 3..3, commit 2
[ 450624us] B is primary
[ 450725us] B journal synced
[ 451625us] A > B  HELLO
[ 452626us] B > A  ATTACH: keep up to 2, epoch 2 follows
[ 453728us] A > B  ATTACHED: stands at 2, result 0
[ 453728us] A > B  ACK: written 2, durable 2
[ 454729us] B ! site 0 is attached at sequence 2 and catches up to 3
[ 454729us] B > A  RECORD 3 of epoch 2
[ 455730us] A journal 3..3, commit 3
[ 455781us] A > B  ACK: written 3, durable 2
[ 455831us] A journal synced
[ 455832us] A > B  ACK: written 3, durable 3
[ 459782us]   the store: epoch 2 of B, set A B
[ 460783us] B ! site 0 is in sync
[ 465832us] A > B  ACK: written 3, durable 3
[ 500934us] B journal synced
[ 560935us] B > A  COMMIT 3, sync to 2
[ 565832us] A > B  ACK: written 3, durable 3
[ 665832us] A > B  ACK: written 3, durable 3
[ 666833us] B > A  COMMIT 3, sync to 2
[ 765832us] A > B  ACK: written 3, durable 3
[ 766833us] B > A  COMMIT 3, sync to 2
[ 865832us] A > B  ACK: written 3, durable 3
[ 866833us] B > A  COMMIT 3, sync to 2
[ 965832us] A > B  ACK: written 3, durable 3
[ 966833us] B > A  COMMIT 3, sync to 2
