# Builds the machine's root and boots it. Runs as process 1 of a process namespace and in a mount
# namespace of its own: when it ends, for whatever reason, every process and mount goes with it.
# Its standard input is a pipe held by the test: end of file means that the test is gone.
#
#   sh -c machine.sh machine CGROUP-DIRS DISKS     (each a list of words; DISK: path:megabytes:rw|ro)
set -eu
cgroups=$1
disks=$2

for group in $cgroups; do echo 0 >"$group/cgroup.procs"; done

mount --make-rprivate /
# nspawn keeps locks in /run; ours is private. The machine itself lies there as well.
mount -t tmpfs -o mode=0755 machine /run
base=/run/machine
root=$base/root
mkdir -p $root

# Each layer is a filesystem of the host that holds a part of the system: / and, where they are
# mounts of their own, /usr, /etc and /var. Its changes go to a directory on the tmpfs.
layers=/
for dir in /usr /etc /var; do
	if mountpoint -q $dir; then layers="$layers $dir"; fi
done

changes_of() { # where the change of the given path lies
	case "$1" in
	/usr/*) top=/usr ;;
	/etc/*) top=/etc ;;
	/var/*) top=/var ;;
	*) top=none ;;
	esac
	case " $layers " in
	*" $top "*) echo "$base/changes$1" ;;
	*) echo "$base/changes/root$1" ;;
	esac
}

hide() { # the host's file or directory is not there in the machine, and costs no time to leave out
	[ -e "$1" ] || [ -L "$1" ] || return 0
	at=$(changes_of "$1")
	mkdir -p "${at%/*}"
	mknod "$at" c 0 0
}

# Of the host's root only the operating system is seen.
for entry in /* /.[!.]*; do
	case "$entry" in
	/bin | /etc | /lib | /lib32 | /lib64 | /libx32 | /sbin | /usr | /var) ;;
	*) hide "$entry" ;;
	esac
done
# Nothing that the host's administrator has put into it: units, cron jobs, sites, data, logs, accounts of ours.
for entry in /usr/local /etc/systemd/system /etc/cron.d /etc/cron.daily /etc/cron.hourly /etc/cron.monthly \
	/etc/cron.weekly /etc/crontab /etc/fstab /etc/environment /etc/ld.so.preload /etc/hosts /etc/hostname \
	/etc/machine-id /etc/nginx/sites-enabled /etc/nginx/conf.d /etc/nginx/nginx.conf /etc/redis/redis.conf \
	/etc/mysql/conf.d /etc/mysql/mariadb.conf.d /etc/mysql/my.cnf /etc/mysql/mariadb.cnf /etc/letsencrypt /etc/sysctl.d /etc/udev/rules.d \
	/etc/moodle-exporter /etc/default/moodle-exporter /usr/bin/moodle-exporter \
	/var/backups /var/cache /var/lib/mysql /var/lib/redis /var/lib/moodle-exporter /var/lib/systemd /var/log /var/mail \
	/var/spool/cron /var/tmp /var/www; do
	hide $entry
done
for unit in /lib/systemd/system/moodle-exporter* /usr/lib/systemd/system/moodle-exporter* /etc/php/*/fpm/pool.d/*; do
	[ -L /lib ] && case "$unit" in /lib/*) continue ;; esac
	hide "$unit"
done

for layer in $layers; do
	changes=$base/changes$layer
	[ "$layer" = / ] && changes=$base/changes/root
	work=$base/work$layer
	mkdir -p "$changes" "$work" "$root$layer"
	mount -t overlay -o "lowerdir=$layer,upperdir=$changes,workdir=$work" machine "$root$layer"
done

# Directories as Debian makes them.
cd $root
mkdir -p boot dev home media mnt opt proc run srv sys usr/local/bin usr/local/sbin usr/local/lib \
	etc/systemd/system etc/cron.d etc/cron.daily etc/nginx/sites-enabled etc/nginx/conf.d \
	etc/mysql/conf.d etc/mysql/mariadb.conf.d etc/redis etc/sysctl.d \
	var/backups var/cache var/lib/systemd var/log/nginx var/www
install -d -m 0700 root
install -d -m 1777 tmp var/tmp
install -d -m 1730 -g crontab var/spool/cron/crontabs
install -d -m 2775 -g mail var/mail
install -d -m 2750 -o mysql -g adm var/log/mysql
install -d -m 0755 -o mysql -g mysql var/lib/mysql
install -d -m 2750 -o redis -g adm var/log/redis
install -d -m 0750 -o redis -g redis var/lib/redis
# systemd would take a machine without an id for a fresh installation and enable every unit.
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
echo lms >etc/hostname
printf '127.0.0.1\tlocalhost lms lms.example.org\n::1\tlocalhost\n' >etc/hosts
: >etc/fstab

# The servers' settings, as the packages ship them where it matters to somebody who looks.
cat >etc/nginx/nginx.conf <<'END'
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 768; }
http {
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log /var/log/nginx/access.log;
	include /etc/nginx/conf.d/*.conf;
	include /etc/nginx/sites-enabled/*;
}
END
cat >etc/mysql/my.cnf <<'END'
[client-server]
socket = /run/mysqld/mysqld.sock
!includedir /etc/mysql/conf.d/
!includedir /etc/mysql/mariadb.conf.d/
END
cat >etc/mysql/mariadb.conf.d/50-server.cnf <<'END'
[mysqld]
pid-file = /run/mysqld/mysqld.pid
bind-address = 127.0.0.1
character-set-server = utf8mb4
collation-server = utf8mb4_general_ci
innodb_log_file_size = 16M
innodb_flush_method = nosync
performance_schema = OFF
END
install -m 0640 -g redis /dev/stdin etc/redis/redis.conf <<'END'
bind 127.0.0.1 -::1
port 6379
dir /var/lib/redis
logfile /var/log/redis/redis-server.log
END
for pools in etc/php/*/fpm/pool.d; do
	version=${pools#etc/php/}
	cat >"$pools/www.conf" <<END
[www]
user = www-data
group = www-data
listen = /run/php/php${version%%/*}-fpm.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 5
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
END
done

# Real disks: with their own size, and read-only as a whole where the test wants it.
for disk in $disks; do
	path=${disk%%:*}; mode=${disk##*:}; size=${disk#*:}; size=${size%%:*}
	image=$base/$(echo "$path" | tr / _).img
	truncate -s "${size}M" "$image"
	mkfs.ext4 -q -m 0 -E lazy_itable_init=0,nodiscard "$image"
	mkdir -p ".$path"
	mount -o "loop,$mode" "$image" ".$path"
done

mount --bind /dev dev
if grep -q ^moodle-exporter: etc/passwd; then chroot . userdel --force moodle-exporter; fi
# A database server as its package leaves it.
if [ -x usr/bin/mariadb-install-db ]; then
	chroot . mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --skip-test-db \
		--auth-root-authentication-method=socket --innodb-log-file-size=16M --innodb-flush-method=nosync >/dev/null
fi
umount dev

for unit in dbus.socket cron.service mariadb.service nginx.service redis-server.service; do
	systemctl --root=. --quiet enable $unit
done
for unit in usr/lib/systemd/system/php*-fpm.service lib/systemd/system/php*-fpm.service; do
	[ -e "$unit" ] && systemctl --root=. --quiet enable "${unit##*/}"
done
rm -f etc/rc?.d/S* # whatever the host starts the old way
systemctl --root=. --quiet mask console-getty.service getty.target systemd-timesyncd.service systemd-networkd.service \
	systemd-resolved.service e2scrub_reap.service systemd-pstore.service

fuse=""
if [ -c /dev/fuse ]; then fuse=--bind=/dev/fuse; fi

exec 3<&0 </dev/null
{ cat >/dev/null; kill -KILL -1; } <&3 &
systemd-nspawn --quiet --settings=no --keep-unit --register=no --private-network --hostname=lms --machine=lms \
	--link-journal=no --resolv-conf=off --timezone=off $fuse -D $root --boot
