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
$ run 150ms
[   5607us] A journal synced
[  50000us] B session with A is down
[  51000us] A session with B is up
[  51001us] A > B  HELLO
[  52000us] B session with A is up
[  52001us] B > A  HELLO
[  52001us] B > A  HELLO
[  53002us] A > B  HELLO
[  84187us] A > B  HELLO
[  84187us] A is gathering
[  85188us] B > A  HELLO
[  86189us] A is claiming
[ 109189us]   the store: epoch 2 of A, set A
[ 110190us] A is opening
[ 110291us] A ! open for writes in epoch 2 from sequence 3
[ 110291us] A > B  HELLO
[ 110291us] A journal 3..3, commit 2
[ 110291us] A is primary
[ 110392us] A journal synced
[ 111292us] B > A  HELLO
[ 112293us] A > B  ATTACH: keep up to 2, epoch 2 follows
[ 113395us] B > A  ATTACHED: stands at 2, result 0
[ 113395us] B > A  ACK: written 2, durable 2
[ 114396us] A ! site 1 is attached at sequence 2 and catches up to 3
[ 114396us] A > B  RECORD 3 of epoch 2
[ 115397us] B journal 3..3, commit 3
[ 115448us] B > A  ACK: written 3, durable 2
[ 115498us] B journal synced
[ 115499us] B > A  ACK: written 3, durable 3
[ 119449us]   the store: epoch 2 of A, set A B
[ 120450us] A ! site 1 is in sync
[ 125499us] B > A  ACK: written 3, durable 3
