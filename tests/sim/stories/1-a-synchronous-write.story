A synchronous write

Two sites, mode sync. A write is journaled here and sent there at the same moment; it is acknowledged when both
journals have it. It is put in place later, when it is known to be committed.

$ world sync 2
$ quiet 3s
$ write A 4 2
$ run 8ms
[      1us] A > B  RECORD 2 of epoch 1
[      1us] A journal 2..2, commit 1
[    102us] A journal synced
[   1002us] B journal 2..2, commit 1
[   1053us] B > A  ACK: written 2, durable 1
[   1103us] B journal synced
[   1104us] B > A  ACK: written 2, durable 2
[   2054us] A write 2: acknowledged
[   2105us] A > B  COMMIT 2, sync to 0

A flush asks for more: durable in both journals, with all that was submitted before it.

$ quiet 500ms
$ write A 6 1
$ flush A
$ run 8ms
[      1us] A > B  RECORD 3 of epoch 1
[      1us] A journal 3..3, commit 2
[     52us] A > B  COMMIT 2, sync to 3
[    102us] A journal synced
[   1002us] B journal 3..3, commit 2
[   1053us] B > A  ACK: written 3, durable 2
[   1103us] B journal synced
[   1104us] B > A  ACK: written 3, durable 3
[   2054us] A write 3: acknowledged
[   2105us] A > B  COMMIT 3, sync to 3
[   2105us] A flush after 3: acknowledged
$ quiet 2s
$ expect primary A
$ expect level
