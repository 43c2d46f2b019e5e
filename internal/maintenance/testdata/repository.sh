# Makes two package repositories in /srv/repo, a plain and a security one, and installs version 1 of each package.
# Runs in the booted machine, as root. With the word slow it adds a package whose installation takes a while.
set -eu
build() { # repository name version [control-line [conffile [postinst]]]
	dir=/srv/build/$2; rm -rf $dir; mkdir -p $dir/DEBIAN /srv/repo/$1
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: test\n%s' "$2" "$3" "${4:+$4
}" >$dir/DEBIAN/control
	mkdir -p $dir/usr/share/$2; echo "$3" >$dir/usr/share/$2/version
	if [ -n "${5:-}" ]; then
		mkdir -p $dir/etc; echo "shipped $3" >$dir$5; echo $5 >$dir/DEBIAN/conffiles
	fi
	if [ -n "${6:-}" ]; then
		printf '#!/bin/sh\n%s\n' "$6" >$dir/DEBIAN/postinst; chmod 755 $dir/DEBIAN/postinst
	fi
	dpkg-deb --build --root-owner-group $dir /srv/repo/$1/$2_$3.deb >/dev/null
}
index() { # repository suite
	cd /srv/repo/$1
	for deb in *.deb; do
		dpkg-deb -f $deb
		echo "Filename: ./$deb"; echo "Size: $(stat -c %s $deb)"; echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; echo
	done >Packages
	printf 'Origin: Test\nLabel: Test\nSuite: %s\nVersion: 1\nDate: %s\nSHA256:\n %s %s Packages\n' \
		$2 "$(date -u '+%a, %d %b %Y %H:%M:%S UTC')" $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) >Release
}
if [ "${1:-}" = slow ]; then
	build main mxt-slow 2 '' '' 'touch /run/mxt-slow; sleep 2'
	index main stable
	exit
fi
rm -rf /srv/repo /etc/apt/sources.list.d /var/lib/apt/lists; mkdir -p /etc/apt/sources.list.d
for name in plain held fixed slow; do build main mxt-$name 1; done
build main mxt-settings 1 '' /etc/mxt-settings.conf
build main mxt-wants 1
build main mxt-rival 1
dpkg -i /srv/repo/main/*.deb >/dev/null
echo 'changed by the administrator' >/etc/mxt-settings.conf
apt-mark hold mxt-held >/dev/null
for name in plain held; do build main mxt-$name 2; done
build main mxt-settings 2 '' /etc/mxt-settings.conf
build main mxt-new 1
build main mxt-wants 2 'Depends: mxt-new'
build main mxt-rival 2 'Conflicts: mxt-plain'
build security mxt-fixed 2
index main stable
index security stable-security
printf 'deb [trusted=yes] file:/srv/repo/main ./\ndeb [trusted=yes] file:/srv/repo/security ./\n' >/etc/apt/sources.list
