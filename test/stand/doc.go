// Package stand starts the real programs that the tests and the demo talk to: MariaDB, PHP-FPM,
// nginx, Redis, Prometheus, Alertmanager and MinIO, and builds Moodle-shaped sites for them.
//
// Each program runs in a directory of its own, listens on loopback ports and unix sockets only,
// and belongs to the caller: it ends with Close, with the context it was started under, and,
// if the whole test binary dies, by the kernel's parent-death signal. Nothing on the machine
// is read or changed outside the given directory.
//
// Run as root, each program drops to the account Debian gives it (mysql, www-data, redis), so
// directories must let those accounts through: take them from [TempDir] (tests) or [MakeTempDir]
// (TestMain, the demo), never from t.TempDir, whose parent is closed to others. Run as anyone
// else, everything runs as that user.
//
// A package that needs a database starts one in TestMain and gives each test a schema of its own:
//
//	dir, remove, err := stand.MakeTempDir()
//	db, err := stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{})
//	err = db.CreateDatabase(ctx, "moodle")
//	err = stand.LoadFixture(ctx, db, "4.5", "moodle") // a real site's dump
//	pool, err := sql.Open("mysql", db.RootDSN("moodle"))
//
// A site is code, dataroot and database, with PHP written for this project that answers as Moodle does:
//
//	site, err := stand.NewSite(ctx, dir, db, stand.SiteOptions{Version: "5.1", Fixture: true})
//	out, err := site.CLI(ctx, "maintenance", "--enable").Output() // as the web user
//
// Fixture asks for a real site's rows instead of the stand-in's few; where the dumps are absent
// (a clone by a stranger) the stand-in's are used, under CI that fails. Site.Real says which.
//
// The rest of a host: [StartPHPFPM] and [StartNginx] serve a site over TLS ([NginxServer.Renew]
// replaces its certificate, also by an expired one), [StartRedis], [StartPrometheus],
// [StartAlertmanager], [StartSMTPSink] for the mails it sends, [StartExporter] for the built binary,
// [StartMinIO] for off-site copies, with [StartProxy] between for a bad network.
// Servers have Close; MariaDBServer also Stop, Kill (kill -9) and Start; others are killed by Pid.
//
// Tests name the programs they need with [Need], and the dumps with [NeedFixtures] where the
// stand-in would not do. Nothing else here may skip a test: under CI what is missing fails it,
// and so does a missing program as root, who could have installed it.
package stand
