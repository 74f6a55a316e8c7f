A rebooted primary opens again

The primary loses its power and comes back before anybody was promoted. What it only had in its page cache may be
gone; the member of the set has all of it. It is asked, its records are taken in, and the store is told that it was:
nothing is lost and nobody has to accept a loss.

$ world sync 2
$ quiet 3s
$ write A 4 2
$ quiet 100ms
$ power A
$ start A
$ run 800ms
[  50050us] A journal synced
[ 100000us] B session with A is down
[ 101000us] A session with B is up
[ 101001us] A > B  HELLO
[ 102000us] B session with A is up
[ 102001us] B > A  HELLO
[ 102001us] B > A  HELLO
[ 103002us] A > B  HELLO
[ 200001us] A > B  HELLO
[ 200001us] A is gathering
[ 201002us] B > A  HELLO
[ 202003us] A is claiming
[ 225003us]   the store: epoch 2 of A, set A
[ 226004us] A is opening
[ 226206us] A ! open for writes in epoch 2 from sequence 3
[ 226206us] A > B  HELLO
[ 226206us] A journal 3..3, commit 2
[ 226206us] A is primary
[ 226307us] A journal synced
[ 227207us] B > A  HELLO
[ 228208us] A > B  ATTACH: keep up to 2, epoch 2 follows
[ 229411us] B > A  ATTACHED: stands at 2, result 0
[ 230412us] A ! site 1 is attached at sequence 2 and catches up to 3
[ 230412us] A > B  RECORD 3 of epoch 2
[ 231413us] B journal 3..3, commit 3
[ 231464us] B > A  ACK: written 3, durable 2
[ 231514us] B journal synced
[ 231515us] B > A  ACK: written 3, durable 3
[ 235465us]   the store: epoch 2 of A, set A B
[ 236466us] A ! site 1 is in sync
[ 276617us] A journal synced
[ 336618us] A > B  COMMIT 3, sync to 2
$ quiet 2s
$ expect primary A
$ expect set A B
$ expect level
