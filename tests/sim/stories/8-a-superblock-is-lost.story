A superblock is lost

The replica is killed right after it has cut its tail and taken on the history of the new primary; bits turn in both
copies of its newest superblock. What must not be forgotten stands in the generation before it, too: the site comes
back as what it was, and follows.

$ world sync 2
$ quiet 3s
$ cut A B
$ write A 4 2
$ quiet 10ms
$ kill A
$ heal
$ promote B
$ quiet 8s
$ start A
$ run 105ms
[  91000us] A session with B is up
[  91001us] A > B  HELLO
[  92000us] B session with A is up
[  92001us] B > A  HELLO
[  92001us] B > A  HELLO
[  92001us] B > A  ATTACH: keep up to 1, epoch 2 follows
[  93001us] A > B  HELLO
[  93001us] A ! records 2 to 2 are not in the new primary's order: they go to a salvage file and are cut
[  93001us] A keeps its records above 1 for salvage
[  93254us] A > B  ATTACHED: stands at 1, result 0
[  93254us] A > B  ACK: written 1, durable 0
[  93304us] A journal synced
[  93305us] A > B  ACK: written 1, durable 1
[  94255us] B ! site 0 is attached at sequence 1 and catches up to 2
[  94255us] B > A  COMMIT 2, sync to 1
[  94306us] B > A  RECORD 2 of epoch 2
[  95307us] A journal 2..2, commit 2
[  95358us] A > B  ACK: written 2, durable 1
[  99359us]   the store: epoch 2 of B, set A B
[ 100360us] B ! site 0 is in sync
$ kill A
$ rot A
$ start A
$ run 150ms
[  50050us] A journal synced
[  85000us] B session with A is down
[  85001us] B ! site 0 disconnected
[  86000us] A session with B is up
[  86001us] A > B  HELLO
[  87000us] B session with A is up
[  87001us] B > A  HELLO
[  87001us] B > A  HELLO
[  87001us] B > A  ATTACH: keep up to 2, epoch 2 follows
[  88002us] A > B  HELLO
[  88002us] A > B  ATTACHED: stands at 2, result 0
[  88002us] A > B  ACK: written 2, durable 2
[  89003us] B ! site 0 is attached at sequence 2 and catches up to 2
$ quiet 2s
$ expect primary B
$ expect set A B
$ expect level
