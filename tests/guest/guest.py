# SPDX-License-Identifier: BSD-3-Clause
"""
A Linux of its own in QEMU, for what needs a kernel or a network card that this machine has not: emulated, so
it needs no KVM, and nothing that it does is a measurement.

It boots Debian's kernel with an initramfs that has busybox and some modules; the machine's own root lies
below it, read-only by 9p, with a layer of memory over it: programs of the build tree run in it as they are.
Kernel and busybox are Debian packages, downloaded once into build/guest and unpacked there, not installed.
"""
import glob
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile

# Loaded as it boots, of which the guest drives its cards by the last ones; and those that wait for a modprobe.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_blk", "virtio_net", "e1000", "e1000e", "vmxnet3", "igb",
           "crc32c_generic", "ext4"]
MODULES_LATER = ["vfio-pci", "vfio_iommu_type1", "uio_pci_generic", "nvme"]
WANTED = " ".join(MODULES + MODULES_LATER + ["kmod"])  # another list than what a cache was made of: it is made again

INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin:/sbin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/hugepages /host /top /root
mount -t tmpfs shm /dev/shm
ip link set lo up
for m in $(cat /modules/order); do insmod /modules/kernel/$m || echo "insmod $m failed"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
mount -t tmpfs top /top; mkdir -p /top/upper /top/work /top/root
mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work root /top/root
[ @PAGES@ = 0 ] || { echo @PAGES@ > /proc/sys/vm/nr_hugepages; mount -t hugetlbfs none /dev/hugepages; }
for d in dev proc sys; do mount --rbind /$d /top/root/$d; done
for d in run tmp; do mount -t tmpfs $d /top/root/$d; done
mkdir -p /top/root@TREE@; mount --bind /host@TREE@ /top/root@TREE@
mkdir -p /top/root/lib/modules/$(uname -r); mount --bind /modules /top/root/lib/modules/$(uname -r)
[ -e /top/root/bin/ping ] || cp /bin/busybox /top/root/bin/ping
[ -e /top/root/sbin/modprobe ] || { cp /kmod/kmod /top/root/sbin/modprobe
    cp /kmod/libkmod.so.2 /top/root/lib; ln -s modprobe /top/root/sbin/rmmod; }
cp /job /top/root/tmp/job
chroot /top/root /bin/bash /tmp/job; code=$?
echo "guest: exit $code"
printf "\\$(printf %03o $code)" | dd of=/dev/port bs=1 seek=244 count=1 2>/dev/null
poweroff -f
"""

# Gives every network card to vfio-pci; leaves their addresses in $cards.
TAKE_CARDS = r"""
cards=
modprobe vfio-pci
for d in /sys/bus/pci/devices/*; do
    case $(cat $d/class) in 0x0200*) ;; *) continue ;; esac
    [ -e $d/driver ] && basename $d > $d/driver/unbind
    echo vfio-pci > $d/driver_override
    basename $d > /sys/bus/pci/drivers_probe
    cards="$cards $(basename $d)"
done
"""


class Missing(Exception):
    """What a guest needs cannot be had here."""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def download(folder):
    said = run("apt-cache", "depends", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if not found:
        raise Missing("apt knows no linux-image-amd64")
    run("apt-get", "-o", "APT::Sandbox::User=root", "download", found.group(1), "busybox-static",
        "kmod", "libkmod2", cwd=folder, timeout=300)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        run("dpkg", "-x", package, os.path.join(folder, "unpacked"))


def extract_kernel(image, to):
    """The ELF inside of Debian's compressed image: QEMU starts that at once, and nothing is unpacked by emulation."""
    with open(image, "rb") as file:
        data = file.read()
    at = data.find(b"\xfd7zXZ\x00")
    while at >= 0:
        try:
            kernel = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(data[at:])
            if kernel[:4] == b"\x7fELF":
                with open(to, "wb") as file:
                    file.write(kernel)
                return
        except lzma.LZMAError:
            pass
        at = data.find(b"\xfd7zXZ\x00", at + 1)
    raise Missing(f"no kernel that can be unpacked in {image}")


def copy_modules(tree, to):
    """With all that they depend on, and the order to load those in that are there at once."""
    files = {os.path.basename(f)[:-3].replace("-", "_"): f for f in glob.glob(f"{tree}/**/*.ko", recursive=True)}
    order = []

    def add(name):
        name = name.replace("-", "_")
        if name in order:
            return
        if name not in files:
            raise Missing(f"the kernel has no module {name}")
        with open(files[name], "rb") as file:
            depends = re.search(rb"\x00depends=([^\x00]*)\x00", file.read()).group(1).decode()
        for other in filter(None, depends.split(",")):
            add(other)
        order.append(name)

    for name in MODULES:
        add(name)
    at_boot = len(order)
    for name in MODULES_LATER:
        add(name)
    os.makedirs(os.path.join(to, "kernel"))
    for name in order:
        shutil.copyfile(files[name], os.path.join(to, "kernel", f"{name}.ko"))
    with open(os.path.join(to, "order"), "w") as file:
        file.write("".join(f"{name}.ko\n" for name in order[:at_boot]))


def copy_kmod(unpacked, to, modules):
    """modprobe of Debian, which nothing else here needs; and what it reads of the modules."""
    os.makedirs(to)
    shutil.copyfile(os.path.join(unpacked, "bin", "kmod"), os.path.join(to, "kmod"))
    shutil.copyfile(glob.glob(f"{unpacked}/**/libkmod.so.2", recursive=True)[0], os.path.join(to, "libkmod.so.2"))
    os.chmod(os.path.join(to, "kmod"), 0o755)
    base = os.path.join(unpacked, "base")  # its version is any: the guest has it by another name
    os.makedirs(os.path.join(base, "lib", "modules"))
    shutil.move(modules, os.path.join(base, "lib", "modules", "6.1"))
    os.symlink(os.path.join(to, "kmod"), os.path.join(unpacked, "depmod"))
    run(os.path.join(unpacked, "depmod"), "-b", base, "6.1", env=dict(os.environ, LD_LIBRARY_PATH=to))
    shutil.copytree(os.path.join(base, "lib", "modules", "6.1"), modules)


def prepare(cache):
    """Fills the folder, once. Raises Missing."""
    made_of = os.path.join(cache, "made-of")
    if os.path.exists(made_of) and open(made_of).read() == WANTED:
        return
    if not shutil.which("qemu-system-x86_64"):
        raise Missing("no qemu-system-x86_64")
    shutil.rmtree(cache, ignore_errors=True)
    os.makedirs(cache)
    with tempfile.TemporaryDirectory(prefix="cw-guest-") as folder:
        try:
            download(folder)
        except (OSError, subprocess.SubprocessError) as problem:
            raise Missing(f"the kernel's package cannot be downloaded: {getattr(problem, 'stderr', '') or problem}")
        unpacked = os.path.join(folder, "unpacked")
        shutil.copyfile(os.path.join(unpacked, "bin", "busybox"), os.path.join(cache, "busybox"))
        extract_kernel(glob.glob(os.path.join(unpacked, "boot", "vmlinuz-*"))[0], os.path.join(cache, "vmlinux"))
        copy_modules(os.path.join(unpacked, "lib", "modules"), os.path.join(cache, "modules"))
        copy_kmod(unpacked, os.path.join(cache, "kmod"), os.path.join(cache, "modules"))
    with open(made_of, "w") as file:
        file.write(WANTED)


def write_archive(path, entries):
    """cpio, "newc", not compressed: [(name, mode, bytes)]."""
    with open(path, "wb") as file:
        for number, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
            words = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
            head = b"070701" + b"".join(b"%08x" % word for word in words) + name.encode() + b"\0"
            file.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


def make_initramfs(cache, path, tree, job, hugepages, modules):
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "proc", "sys", "modules", "modules/kernel", "kmod")]
    for name in sorted(glob.glob("modules/**", root_dir=cache, recursive=True) + glob.glob("kmod/*", root_dir=cache)):
        if os.path.isfile(os.path.join(cache, name)):
            with open(modules.get(os.path.basename(name), os.path.join(cache, name)), "rb") as file:
                entries.append((name, stat.S_IFREG | os.stat(file.fileno()).st_mode & 0o777, file.read()))
    with open(os.path.join(cache, "busybox"), "rb") as file:
        entries.append(("bin/busybox", stat.S_IFREG | 0o755, file.read()))
    init = INIT.replace("@PAGES@", str(hugepages)).replace("@TREE@", tree)
    entries.append(("init", stat.S_IFREG | 0o755, init.encode()))
    entries.append(("job", stat.S_IFREG | 0o644, job.encode()))
    write_archive(path, entries)


class Guest:
    """cache: prepare() has filled it. Runs the job, a bash script, as root in a guest with these devices. The folder `tree` is there as it
    is, wherever: the guest has a /tmp and a /run of its own. modules: files that take the place of the kernel's own, by their
    names. In a `with`: at its end the guest is gone."""

    def __init__(self, cache, tree, job, devices, hugepages=192, memory="1G", sockets=(), has_iommu=True, modules=None):
        """sockets: that the devices name by their numbers."""
        self.folder = tempfile.TemporaryDirectory(prefix="cw-guest-")
        archive = os.path.join(self.folder.name, "initramfs")
        make_initramfs(cache, archive, tree, job, hugepages, modules or {})
        iommu = ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"] if has_iommu else []
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "max", "-smp", "1", "-m", memory,
                   "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
                   "-kernel", os.path.join(cache, "vmlinux"), "-initrd", archive,
                   "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable intel_iommu=on iommu=pt "
                   "no_timer_check "  # which waits for ticks of an emulated clock that comes late where other guests run beside it
                   "init_on_alloc=0 "  # zeroing what a hugepage is made of takes seconds here
                   "norandmaps",  # the emulator translates code once for each address that it is at: a third of a short process
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                   "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"] + iommu + devices
        self.console = open(os.path.join(self.folder.name, "console"), "w+b")  # a file: nobody has to read meanwhile
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT,
                                        pass_fds=[one.fileno() for one in sockets])

    def wait(self, timeout):
        """Returns the job's exit code (124: too late) and all that it printed."""
        try:
            code = self.process.wait(timeout)
            code = code >> 1 if code & 1 else 1
        except subprocess.TimeoutExpired:
            code = 124
        self.console.seek(0)
        return code, self.console.read().decode(errors="replace").replace("\r", "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.console.close()
        self.folder.cleanup()


def boot(*arguments, timeout=240, **options):
    """As Guest; returns as its wait()."""
    with Guest(*arguments, **options) as one:
        return one.wait(timeout)
