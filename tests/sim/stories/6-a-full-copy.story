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
[ 503308us] B > A  COPY_ACK
[ 504360us] A > B  COPY_CHUNK 0 as after 2
[ 504360us] A > B  COPY_CHUNK 1 as after 2
[ 504360us] A > B  COPY_CHUNK 2 as after 2
[ 504360us] A > B  COPY_END
[ 505361us] B > A  COPY_ACK
[ 505361us] B applies to the copy of volume 0, blocks 0..63
[ 505412us] B > A  COPY_ACK
[ 505412us] B applies to the copy of volume 1, blocks 0..255
[ 505463us] B > A  COPY_ACK
[ 505463us] B applies to the copy of volume 1, blocks 256..511
[ 505514us] B > A  COPY_ACK
[ 505767us] B files of the copy are switched in
[ 506020us] B > A  COPY_ACK
[ 506020us] B ! the full copy is finished: whole at sequence 2
[ 507021us] A ! site 1 is whole: 294912 bytes were copied in 5 ms
[ 507021us] A > B  HELLO
[ 508022us] B > A  HELLO
[ 509023us] A > B  ATTACH: keep up to 2, epoch 1 follows
[ 510024us] B > A  ATTACHED: stands at 2, result 0
[ 511025us] A ! site 1 is attached at sequence 2 and catches up to 2
[ 514025us]   the store: epoch 1 of A, set A B
[ 515026us] A ! site 1 is in sync
$ quiet 2s
$ expect primary A
$ expect set A B
$ expect level
