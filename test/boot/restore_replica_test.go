package boot_test

import (
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const replicaSQL = "mariadb --no-defaults -u root -S /run/mysqld/replica.sock -Ne "

// testReplica restores a site whose database server has a replica: that one has every row of it as well, without being set
// up anew.
func (p *patient) testReplica(t *testing.T) {
	p.attachReplica(t)
	p.must(t, "moodle-exporter", "backup")
	before := p.whole(t)
	loss := disaster{name: "the rows of a table", script: "mariadb moodle -e 'DELETE FROM m45_course_modules'", intact: true}
	p.sh(t, loss.script)
	p.restore(t, loss)
	before.same(t, p.whole(t))
	p.must(t, "moodle-exporter", "restore", "--discard", "--yes")
	p.nothingKept(t)

	position := strings.TrimSpace(p.sh(t, "mariadb -Ne 'SELECT @@GLOBAL.gtid_binlog_pos'"))
	if reached := strings.TrimSpace(p.sh(t, replicaSQL+`"SELECT MASTER_GTID_WAIT('`+position+`', 60)"`)); reached != "0" {
		t.Fatalf("the replica does not follow: %s", p.sh(t, replicaSQL+"'SHOW SLAVE STATUS\\G'"))
	}
	sums, err := stand.Sums(t.Context(), stand.AttachMariaDB(p.HostPath("/run/mysqld/replica.sock"), 3307).RootDSN(p.site.Database), p.site.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	if sums != before.rows {
		t.Errorf("the replica has other rows:\n%s", stand.Diff(before.rows, sums))
	}
	if left := p.sh(t, replicaSQL+`"SHOW DATABASES LIKE '%mx_\_%'"`); left != "" {
		t.Errorf("left over on the replica: %s", left)
	}
}

// attachReplica starts a second server in the machine, which follows the first.
func (p *patient) attachReplica(t *testing.T) {
	p.sh(t, `printf '[mariadb]\nlog_bin = binlog\nserver_id = 1\n' >/etc/mysql/mariadb.conf.d/70-source.cnf
		systemctl restart mariadb.service
		mariadb -e "CREATE USER follower@'127.0.0.1' IDENTIFIED BY 'follow'; GRANT REPLICATION SLAVE ON *.* TO follower@'127.0.0.1'"
		mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/replica --auth-root-authentication-method=socket >/dev/null
		systemd-run --quiet --unit=replica --property=User=mysql --property=Type=notify mariadbd --no-defaults --datadir=/var/lib/replica \
			--socket=/run/mysqld/replica.sock --port=3307 --bind-address=127.0.0.1 --server-id=2 --report-host=replica
		mariadb-dump --single-transaction --gtid --master-data --routines --triggers --events --databases `+p.site.Database+` |
			mariadb --no-defaults -u root -S /run/mysqld/replica.sock
		`+replicaSQL+`"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=3306, MASTER_USER='follower', MASTER_PASSWORD='follow', MASTER_USE_GTID=slave_pos; START SLAVE"`)
}
