package stand

import (
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// MariaDBOptions changes how the server is started; the zero value is right for most tests.
type MariaDBOptions struct {
	Port     int      // loopback TCP port; 0 picks a free one
	Settings []string // further mariadbd options, such as "--log-bin" or "--max-connections=5"
}

// MariaDBServer is a private MariaDB server. As on Debian, the account root (run as root) or one
// named like the current user gets in over the unix socket without a password, with all rights.
type MariaDBServer struct {
	Socket string
	Port   int
	Dir    string // holds data/, the socket and the logs

	ctx     context.Context //nolint:containedctx // Start after Stop runs under the context of StartMariaDB
	account Account         // the system account of the server process
	admin   string          // the all-powerful database account
	options MariaDBOptions
	tmpDir  string // as an option
	process *process
}

// StartMariaDB makes an empty server in dir/mariadb and returns once it answers. It ends with ctx or Close.
func StartMariaDB(ctx context.Context, dir string, options MariaDBOptions) (*MariaDBServer, error) {
	account, err := accountOf("mysql")
	if err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	m := &MariaDBServer{Dir: filepath.Join(dir, "mariadb"), Port: options.Port, ctx: ctx, account: account, options: options}
	m.Socket = filepath.Join(m.Dir, "mysql.sock")
	m.admin = "root"
	if os.Getuid() != 0 {
		m.admin = account.Name
	}
	if m.Port == 0 {
		if m.Port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	// A starting server removes all temporary tables in its tmpdir, also those of a neighbour.
	m.tmpDir = "--tmpdir=" + filepath.Join(m.Dir, "tmp")
	for _, d := range []string{m.Dir, filepath.Join(m.Dir, "tmp")} {
		if err := makeOwned(d, account, 0o755); err != nil {
			return nil, err
		}
	}
	// force: a machine whose own name does not resolve makes a server as good as any other.
	install := []string{
		"mariadb-install-db", "--no-defaults", "--datadir=" + m.dataDir(), m.tmpDir, "--skip-test-db", "--skip-name-resolve",
		"--force", "--auth-root-authentication-method=socket", "--auth-root-socket-user=" + m.admin, "--innodb-log-file-size=16M",
	}
	if err := run(ctx, account, install...); err != nil {
		return nil, fmt.Errorf("create the database server: %w", err)
	}
	return m, m.Start()
}

func (m *MariaDBServer) dataDir() string { return filepath.Join(m.Dir, "data") }

// Start starts the server again after Stop or Kill, on the same data, socket and port.
func (m *MariaDBServer) Start() error {
	argv := append([]string{
		"mariadbd", "--no-defaults", "--datadir=" + m.dataDir(), m.tmpDir, "--socket=" + m.Socket,
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(m.Port),
		"--pid-file=" + filepath.Join(m.Dir, "mariadbd.pid"),
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M",
		// What survives kill -9 of the process is the same; only a power cut would differ.
		"--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync",
		"--performance-schema=OFF", "--skip-name-resolve",
	}, m.options.Settings...)
	p, err := startProcess(m.ctx, "MariaDB", filepath.Join(m.Dir, "mariadbd.log"), m.account, m.Dir, nil, argv...)
	if err != nil {
		return err
	}
	m.process = p
	pool, err := sql.Open("mysql", m.RootDSN(""))
	if err != nil {
		return err
	}
	defer pool.Close()
	return p.await(m.ctx, pool.PingContext)
}

// Stop shuts the server down in order. Close is the same; Start brings it back.
func (m *MariaDBServer) Stop() error { return m.process.stop() }

// Close ends the server. The directory stays with its owner, the caller.
func (m *MariaDBServer) Close() error { return m.process.stop() }

// Kill is kill -9.
func (m *MariaDBServer) Kill() { m.process.kill() }

// Pid is the process id of the running server.
func (m *MariaDBServer) Pid() int { return m.process.pid }

// RootUser is the name of the account with all rights over the unix socket.
func (m *MariaDBServer) RootUser() string { return m.admin }

// RootDSN is the data source name of the all-powerful account, for sql.Open("mysql", …).
func (m *MariaDBServer) RootDSN(database string) string {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = m.admin, "unix", m.Socket, database
	c.Logger = &mysql.NopLogger{}
	return c.FormatDSN()
}

// UserDSN is the data source name of another account, over TCP.
func (m *MariaDBServer) UserDSN(user, password, database string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.DBName = user, password, "tcp", database
	c.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port))
	return c.FormatDSN()
}

// Exec runs statements, one by one, as the all-powerful account.
func (m *MariaDBServer) Exec(ctx context.Context, statements ...string) error {
	pool, err := sql.Open("mysql", m.RootDSN(""))
	if err != nil {
		return err
	}
	defer pool.Close()
	for i, s := range statements {
		if _, err := pool.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("statement %d of %d: %w", i+1, len(statements), err) // its text may hold a password
		}
	}
	return nil
}

// CreateDatabase makes an empty schema with Moodle's character set and collation.
func (m *MariaDBServer) CreateDatabase(ctx context.Context, name string) error {
	return m.Exec(ctx, "CREATE DATABASE "+quoteIdentifier(name)+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
}

// CreateAccount makes user@localhost and user@127.0.0.1 with a password of any characters and
// grants them privileges (such as "SELECT" or "ALL") on all tables of database.
func (m *MariaDBServer) CreateAccount(ctx context.Context, user, password, database, privileges string) error {
	for _, host := range []string{"localhost", "127.0.0.1"} {
		account := quoteString(user) + "@" + quoteString(host)
		err := m.Exec(ctx, "CREATE USER "+account+" IDENTIFIED BY "+quoteString(password),
			"GRANT "+privileges+" ON "+quoteIdentifier(database)+".* TO "+account)
		if err != nil {
			return fmt.Errorf("create the account %s: %w", account, err)
		}
	}
	return nil
}

// LoadSQL feeds a .sql or .sql.gz file to the mariadb client.
func (m *MariaDBServer) LoadSQL(ctx context.Context, database, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("load %s: %w", filepath.Base(file), err)
	}
	defer f.Close()
	var input io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if input, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("load %s: %w", filepath.Base(file), err)
		}
	}
	if err := m.load(ctx, database, input); err != nil {
		return fmt.Errorf("load %s: %w", filepath.Base(file), err)
	}
	return nil
}

func (m *MariaDBServer) load(ctx context.Context, database string, input io.Reader) error {
	client, err := find("mariadb")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, client, "--no-defaults", "--socket="+m.Socket, "--user="+m.admin, "--binary-mode", "--default-character-set=utf8mb4", database)
	cmd.Stdin = input
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func quoteIdentifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func quoteString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
