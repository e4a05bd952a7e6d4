# Where the machines' files lie; sourced by the other scripts.
#   LAB=/srv/vagrant-lab   the kernel, the box, the project ($LAB/project), logs and pid files ($LAB/run)
export LAB=${LAB:-/srv/vagrant-lab}
RUN=$LAB/run; P=$LAB/project
[ "$(id -u)" = 0 ] || { echo "$(basename "$0"): needs root" >&2; exit 1; }
# QEMU runs as libvirt-qemu and opens the kernel and the disks itself
mkdir -p "$LAB"
folder=$(readlink -f "$LAB")
while :; do
  case $(stat -c %A "$folder") in
    *[xt]) ;;
    *) echo "$(basename "$0"): LAB=$LAB: the user libvirt-qemu can't enter $folder ($(stat -c %A "$folder")); choose a LAB elsewhere, such as /srv/vagrant-lab" >&2; exit 1 ;;
  esac
  [ "$folder" = / ] && break
  folder=$(dirname "$folder")
done
