A full copy

An operator asks for the replica to be copied in full. It leaves the set first; then new files are filled beside
the old ones while the live stream goes on, and take their place when they are whole.

$ world sync 2
$ quiet 3s
$ write A 4 2
$ quiet 300ms
$ resync A B
$ run 600ms
[      1us] A > B  HELLO
[   1002us] B > A  HELLO
[   3001us]   the store: epoch 1 of A, set A
[   4002us] A ! site 1 is out of the in-sync set: writes go on without it
[ 500001us] A > B  HELLO
[ 501002us] B > A  HELLO
[ 502003us] A > B  COPY_BEGIN
[ 502003us] A ! copying 294912 bytes to site 1 in full
[ 503004us] B files of the copy are prepared
[ 503257us] B > A  COPY_ACK
[ 504309us] A > B  COPY_CHUNK 0 as after 2
[ 504309us] A > B  COPY_CHUNK 1 as after 2
[ 504309us] A > B  COPY_CHUNK 2 as after 2
[ 504309us] A > B  COPY_END
[ 505310us] B > A  COPY_ACK
[ 505310us] B applies to the copy of volume 0, blocks 0..63
[ 505361us] B > A  COPY_ACK
[ 505361us] B applies to the copy of volume 1, blocks 0..255
[ 505412us] B > A  COPY_ACK
[ 505412us] B applies to the copy of volume 1, blocks 256..511
[ 505463us] B > A  COPY_ACK
[ 505716us] B files of the copy are switched in
[ 505969us] B > A  COPY_ACK
[ 505969us] B ! the full copy is finished: whole at sequence 2
[ 506970us] A ! site 1 is whole: 294912 bytes were copied in 4 ms
[ 506970us] A > B  HELLO
[ 507971us] B > A  HELLO
[ 508972us] A > B  ATTACH: keep up to 2, epoch 1 follows
[ 509973us] B > A  ATTACHED: stands at 2, result 0
[ 510974us] A ! site 1 is attached at sequence 2 and catches up to 2
[ 513974us]   the store: epoch 1 of A, set A B
[ 514975us] A ! site 1 is in sync
$ quiet 2s
$ expect primary A
$ expect set A B
$ expect level
