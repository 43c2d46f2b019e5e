package boot_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// storageAddress is where the machine reaches the storage, which runs outside of it.
const storageAddress = "127.0.0.1:9100"

// testBareMachine loses the whole host but for the configuration file with its keys, and brings the site back from an
// encrypted copy in a bucket.
func (p *patient) testBareMachine(t *testing.T) {
	stand.Need(t, stand.MinIO)
	identity := p.copyOffsite(t)
	before := p.whole(t)
	p.sh(t, loseServer+loseConfig+loseFiles+`systemctl stop moodle-exporter.service 'moodle-exporter-*.timer'
		rm -rf /backup/* /var/lib/moodle-exporter/*
		mv /usr/sbin/mariadbd /usr/sbin/mariadbd.away; mv /usr/sbin/nginx /usr/sbin/nginx.away; mv /usr/bin/php /usr/bin/php.away; systemctl stop mariadb`)
	if err := p.WriteFile(t.Context(), "/root/identity.txt", []byte(identity), 0o600, "root:root"); err != nil {
		t.Fatal(err)
	}
	restore := []string{"moodle-exporter", "restore", "--from=offsite", "--identity=/root/identity.txt", "--yes"}
	refused, err := p.Run(t.Context(), restore...)
	if err != nil || refused.ExitCode != 12 {
		t.Errorf("without servers: exit code %d (%v): %s", refused.ExitCode, err, refused.Stderr)
	}
	for _, missing := range []string{"mariadb-server", "nginx", "-cli ", "-mysql"} {
		if !strings.Contains(refused.Stderr, missing) {
			t.Errorf("it is not said that %s must be installed: %s", missing, refused.Stderr)
		}
	}
	p.sh(t, "mv /usr/sbin/mariadbd.away /usr/sbin/mariadbd; mv /usr/sbin/nginx.away /usr/sbin/nginx; mv /usr/bin/php.away /usr/bin/php; systemctl start mariadb")

	visitors := p.probe(t)
	result, err := p.Run(t.Context(), restore...)
	seen, closed := visitors.end()
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("exit code %d (%v): %s%s\n%s", result.ExitCode, err, result.Stdout, result.Stderr, p.log(t))
	}
	t.Logf("proof: closed for %.1f s; seen: %s", closed.Seconds(), strings.Join(seen, ", "))
	before.same(t, p.whole(t))
	if content, err := p.ReadFile(t.Context(), "/etc/cron.d/moodle"); err != nil || !strings.Contains(string(content), "cron.php") {
		t.Errorf("cron: %s (%v)", content, err)
	}
	p.must(t, "systemctl", "restart", "nginx.service", p.site.FPMUnit)
	if err := pollFor(t, p.Machine, func() error {
		if seen := p.look(t.Context()); seen != loginPage {
			return fmt.Errorf("there is %s", seen)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	p.must(t, "moodle-exporter", "restore", "--discard", "--yes")
	p.nothingKept(t)
	p.must(t, "rm", "-r", "/etc/moodle-exporter")
	p.must(t, "moodle-exporter", "backup") // for whatever comes next
}

// copyOffsite backs the site up, copies that encrypted, and returns the key that opens it.
func (p *patient) copyOffsite(t *testing.T) (identity string) {
	t.Helper()
	storage, err := stand.StartMinIO(t.Context(), stand.TempDir(t), stand.MinIOOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = storage.Close() })
	forward(t, p.Machine, storage.Address)
	if err := storage.MakeBucket(t.Context(), "backups", stand.BucketOptions{}); err != nil {
		t.Fatal(err)
	}
	access, secret, err := storage.Key(t.Context(), "backups", stand.RightsToAdd...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		"/etc/moodle-exporter/access.key": access, "/etc/moodle-exporter/secret.key": secret,
		"/etc/moodle-exporter/moodle-exporter.yml": fmt.Sprintf(`backup:
  encrypt_to: [%q]
  offsite: {endpoint: "http://%s", bucket: backups, prefix: lms, access_key_file: /etc/moodle-exporter/access.key, secret_key_file: /etc/moodle-exporter/secret.key}
`, key.Recipient().String(), storageAddress),
	} {
		if err := p.WriteFile(t.Context(), path, []byte(content), 0o600, "root:root"); err != nil {
			t.Fatal(err)
		}
	}
	p.must(t, "moodle-exporter", "backup")
	return key.String() + "\n"
}

// forward lets the machine, whose network is its own, reach an address of the host.
func forward(t *testing.T, m *boot.Machine, to string) {
	t.Helper()
	type answer struct {
		listener net.Listener
		err      error
	}
	answers := make(chan answer, 1)
	go func() {
		// The thread enters the machine's network and never comes back: it ends with the goroutine.
		runtime.LockOSThread()
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.Pid))
		if err == nil {
			defer namespace.Close()
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			answers <- answer{err: err}
			return
		}
		listener, err := net.Listen("tcp", storageAddress)
		answers <- answer{listener, err}
	}()
	a := <-answers
	if a.err != nil {
		t.Fatal(a.err)
	}
	t.Cleanup(func() { _ = a.listener.Close() })
	go func() {
		for {
			from, err := a.listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				onward, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer onward.Close()
				go func() { _, _ = io.Copy(onward, from); _ = onward.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(from, onward)
			}()
		}
	}()
}
