// Package boot boots a Debian with a real systemd for tests: MariaDB, nginx, PHP-FPM, Redis and
// cron run in it as the units of their packages, and what we install behaves as on a server.
//
// The machine is a systemd-nspawn container on an overlay of the host's own /: its programs are
// those that are installed here, its changes lie on a tmpfs, its network is a loopback of its own.
// Of the host's configuration and data nothing is seen or altered: units, cron jobs, sites,
// databases, logs, /home, /root, /srv, /usr/local and every other top-level directory are left
// out, and the servers have settings of the package's own (see machine.sh). It boots in a few seconds.
//
// Nothing stays behind, also after a panic or kill -9 of the test: the machine lives in process
// and mount namespaces that end with it, and it ends when the pipe from the test does.
//
//	machine, err := boot.Start(ctx, boot.Options{})
//	defer machine.Close()
//	err = machine.InstallExporter(ctx, binary)    // as the package will: binary, units, account
//	site, err := machine.InstallSite(ctx, boot.SiteOptions{})
//	result, err := machine.Run(ctx, "systemctl", "is-active", "moodle-exporter")
//	page, err := machine.Get(ctx, "http://127.0.0.1:10059/metrics")
//
// A package boots one machine and shares it (see main_test.go here): tests leave it as they found
// it. Call [Need] first; it says what is missing where a machine cannot be booted.
//
// What differs from a server: no cgroup controllers where the host has them in version 1 (then
// MemoryMax and TasksMax have no effect and units report no memory), no kernel modules, no clock of
// its own, and only / (overlay), [Options.Disks] (ext4) and tmpfs as filesystems.
package boot
