#!/bin/bash
# Builds a tiny libvirt box for Vagrant out of Debian packages only:
#   $LAB/guest/vmlinuz, initrd.img  (kernel + busybox/dropbear initramfs; booted directly)
#   $LAB/guest/tiny.box             (metadata.json + Vagrantfile + box.img)
set -euo pipefail
LAB=${LAB:-/srv/vagrant-lab}
DEBS=$LAB/debs; G=$LAB/guest; X=$G/x; R=$G/root
mkdir -p "$DEBS" "$G"
[ -s "$G/tiny.box" ] && [ -s "$G/initrd.img" ] && [ -s "$G/vmlinuz" ] && [ -z "${FORCE:-}" ] && { echo "box: already built"; exit 0; }
cd "$DEBS"
KPKG=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2; exit}')
ls "$KPKG"_*.deb busybox-static_*.deb dropbear-bin_*.deb >/dev/null 2>&1 ||
  apt-get -qq -o APT::Sandbox::User=root download "$KPKG" busybox-static dropbear-bin libtomcrypt1 libtommath1
rm -rf "$X" "$R"; mkdir -p "$X" "$R"
for d in "$DEBS"/*.deb; do dpkg-deb -x "$d" "$X"; done
KV=$(ls "$X/lib/modules")
cp "$X/boot/vmlinuz-$KV" "$G/vmlinuz"

# --- root file system (initramfs) ---
cd "$R"; mkdir -p bin sbin usr/bin usr/sbin etc/dropbear dev proc sys tmp run root var/log var/run lib/modules home/vagrant/.ssh data usr/lib lib64
chmod 1777 tmp; chmod 700 home/vagrant/.ssh
cp "$X/bin/busybox" bin/
for a in $("$X/bin/busybox" --list); do [ "$a" = busybox ] || ln -sf busybox bin/$a; done
cp "$X/usr/sbin/dropbear" usr/sbin/; cp "$X/usr/bin/dropbearkey" usr/bin/
export LD_LIBRARY_PATH=$X/usr/lib/x86_64-linux-gnu:$X/lib/x86_64-linux-gnu
for b in usr/sbin/dropbear usr/bin/dropbearkey; do
  ldd $b | awk '$3 ~ /^\//{print $3} $1 ~ /^\/lib64/{print $1}'
done | sort -u | while read -r l; do
  case $l in /lib64/*) cp -L "$l" lib64/ ;; *) cp -L "$l" lib/ ;; esac
done
cp -L /lib/x86_64-linux-gnu/libnss_files.so.2 lib/ 2>/dev/null || true
KEYTYPES="ed25519 rsa"
for t in $KEYTYPES; do "$X/usr/bin/dropbearkey" -t $t ${BITS:+-s $BITS} -f etc/dropbear/dropbear_${t}_host_key >/dev/null 2>&1; done
unset LD_LIBRARY_PATH
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net virtio_blk virtio_balloon virtio-rng button evdev virtio_console; do
  f=$(find "$X/lib/modules/$KV" -name "$m.ko*" | head -1); [ -n "$f" ] && cp "$f" lib/modules/
done
cat > etc/passwd <<E
root:x:0:0:root:/root:/bin/sh
vagrant:x:0:0:vagrant:/home/vagrant:/bin/sh
E
# the hash is a plain '*': key log-in only
printf 'root:*:19000:0:99999:7:::\nvagrant:*:19000:0:99999:7:::\n' > etc/shadow; chmod 600 etc/shadow
printf 'root:x:0:\n' > etc/group
printf '/bin/sh\n/bin/bash\n' > etc/shells
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n' > etc/nsswitch.conf
printf 'NAME="TinyLinux"\nID=linux\nPRETTY_NAME="Tiny busybox guest"\n' > etc/os-release
ln -s sh bin/bash
cp "$(ls /usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub | head -1)" home/vagrant/.ssh/authorized_keys
chmod 600 home/vagrant/.ssh/authorized_keys; chmod 755 home home/vagrant
cat > usr/bin/sudo <<'E'
#!/bin/sh
# the vagrant account has uid 0: drop sudo's flags and run the rest
while :; do case "$1" in -*) shift ;; *) break ;; esac; done
exec "$@"
E
printf '#!/bin/sh\nexec poweroff\n' > bin/shutdown       # poweroff = the applet: SIGUSR2 to pid 1
chmod 755 usr/bin/sudo bin/shutdown
mkdir -p etc/acpi/PWRF; printf '#!/bin/sh\nexec poweroff\n' > etc/acpi/PWRF/00000080; chmod 755 etc/acpi/PWRF/00000080
cat > bin/udhcpc.script <<'E'
#!/bin/sh
case "$1" in
 bound|renew) echo "tiny: $1 $ip at $(cut -d' ' -f1 /proc/uptime) s" > /dev/console; ifconfig $interface $ip netmask ${subnet:-255.255.255.0}
   for r in $router; do route add default gw $r dev $interface 2>/dev/null; break; done
   : > /etc/resolv.conf; for n in $dns; do echo nameserver $n >> /etc/resolv.conf; done
   [ -n "$hostname" ] && hostname $hostname ;;
esac
exit 0
E
chmod 755 bin/udhcpc.script
cat > init <<'E'
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net virtio_blk virtio-rng virtio_balloon button evdev virtio_console; do
  [ -f /lib/modules/$m.ko ] && insmod /lib/modules/$m.ko
done
ifconfig lo 127.0.0.1 up
hostname tiny
for d in /sys/class/net/eth*; do i=${d##*/}; ifconfig $i up; done
udhcpc -i eth0 -b -t 20 -T 1 -A 1 -s /bin/udhcpc.script >/dev/null 2>&1 &
[ -b /dev/vda ] && mount -t ext4 /dev/vda /data
dropbear -E 2>/var/log/dropbear.log
acpid
echo "tiny: up after $(cut -d' ' -f1 /proc/uptime) s" > /dev/console
trap 'sync; umount /data; sleep 0.2; poweroff -f' USR1 USR2
trap 'sync; umount /data; sleep 0.2; reboot -f' TERM INT
while :; do sleep 3600 & wait; done
E
chmod 755 init
chown -R 0:0 .
# not compressed: cheaper to load than to inflate under TCG
find . | "$X/bin/busybox" cpio -o -H newc > "$G/initrd.img" 2>/dev/null

# --- box: an ext4 data disk of 1 GiB, sparse ---
cd "$G"; rm -rf b; mkdir b
truncate -s 1G b/raw; mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -L tiny b/raw
qemu-img convert -O qcow2 b/raw b/box.img; rm b/raw
echo '{"provider":"libvirt","format":"qcow2","virtual_size":1}' > b/metadata.json
cat > b/Vagrantfile <<'E'
Vagrant.configure("2") do |config|
  config.vm.guest = :linux
  config.ssh.shell = "sh"
  config.ssh.insert_key = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
end
E
tar -C b -czf tiny.box metadata.json Vagrantfile box.img
ls -l "$G"/vmlinuz "$G"/initrd.img "$G"/tiny.box
