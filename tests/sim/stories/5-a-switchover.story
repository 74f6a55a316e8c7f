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
[ 100001us] A ! no longer primary in epoch 1 (epoch 1 was seen)
[ 100001us] A is replica
[ 350001us] B > A  HELLO
[ 350001us] B is gathering
[ 351002us] A > B  HELLO
[ 352003us] B is claiming
[ 375003us]   the store: epoch 2 of B, set B
[ 376004us] B is opening
[ 376206us] B ! open for writes in epoch 2 from sequence 3
[ 376206us] B > A  HELLO
[ 376206us] B journal 3..3, commit 2
[ 376206us] B is primary
[ 376307us] B journal synced
[ 377207us] A > B  HELLO
[ 378208us] B > A  ATTACH: keep up to 2, epoch 2 follows
[ 379411us] A > B  ATTACHED: stands at 2, result 0
[ 379411us] A > B  ACK: written 2, durable 2
[ 380412us] B ! site 0 is attached at sequence 2 and catches up to 3
[ 380412us] B > A  RECORD 3 of epoch 2
[ 381413us] A journal 3..3, commit 3
[ 381464us] A > B  ACK: written 3, durable 2
[ 381514us] A journal synced
[ 381515us] A > B  ACK: written 3, durable 3
[ 385465us]   the store: epoch 2 of B, set A B
[ 386466us] B ! site 0 is in sync
[ 426617us] B journal synced
[ 486618us] B > A  COMMIT 3, sync to 2
$ quiet 2s
$ expect primary B
$ expect set A B
$ expect level
