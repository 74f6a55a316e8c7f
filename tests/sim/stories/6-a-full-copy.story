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
[  51259us] B > A  ACK: written 2, durable 2
[ 151259us] B > A  ACK: written 2, durable 2
[ 251259us] B > A  ACK: written 2, durable 2
[ 351259us] B > A  ACK: written 2, durable 2
[ 451259us] B > A  ACK: written 2, durable 2
[ 512260us] A > B  HELLO
[ 513261us] B > A  HELLO
[ 514262us] A > B  COPY_BEGIN
[ 514262us] A ! copying 294912 bytes to site 1 in full
[ 515263us] B files of the copy are prepared
[ 515365us] B > A  COPY_ACK
[ 515465us] B > A  ACK: written 2, durable 2
[ 516366us] A > B  COMMIT 2, sync to 0
[ 516417us] A > B  COPY_CHUNK 0 as after 2
[ 516417us] A > B  COPY_CHUNK 1 as after 2
[ 516417us] A > B  COPY_CHUNK 2 as after 2
[ 516417us] A > B  COPY_END
[ 517418us] B > A  COPY_ACK
[ 517418us] B applies to the copy of volume 0, blocks 0..63
[ 517469us] B > A  COPY_ACK
[ 517469us] B applies to the copy of volume 1, blocks 0..255
[ 517520us] B > A  COPY_ACK
[ 517520us] B applies to the copy of volume 1, blocks 256..511
[ 517571us] B > A  COPY_ACK
[ 517723us] B files of the copy are switched in
[ 517825us] B > A  COPY_ACK
[ 517825us] B ! the full copy is finished: whole at sequence 2
[ 518826us] A ! site 1 is whole: 294912 bytes were copied in 4 ms
[ 518826us] A > B  HELLO
[ 519827us] B > A  HELLO
[ 520828us] A > B  ATTACH: keep up to 2, epoch 1 follows
[ 521829us] B > A  ATTACHED: stands at 2, result 0
[ 521829us] B > A  ACK: written 2, durable 2
[ 522830us] A ! site 1 is attached at sequence 2 and catches up to 2
[ 522830us] A > B  COMMIT 2, sync to 0
[ 525830us]   the store: epoch 1 of A, set A B
[ 526831us] A ! site 1 is in sync
