package moodle

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// defaultSockets are where Debian, Red Hat and the MySQL packages put the server's socket. PHP asks
// pdo/mysqli.default_socket for "localhost"; these are its usual values.
var defaultSockets = []string{"/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"}

// ErrUnsupportedDatabase is a site whose database is neither MariaDB nor MySQL.
var ErrUnsupportedDatabase = errors.New("this database is not supported: only MariaDB and MySQL are")

// MonitorAccount is the name of the exporter's own database account, which logs in over the unix socket
// by the name of the system user it runs as.
const MonitorAccount = "moodle-exporter"

// Login is everything needed to open a connection to the site's database server.
type Login struct {
	User     string
	Password config.Secret
	Network  string // unix or tcp
	Address  string // socket path or host:port
}

// ConfigLogin is the account that the site itself uses.
func (s *Site) ConfigLogin() Login {
	network, address := s.Config.address()
	return Login{User: s.Config.DBUser, Password: s.Config.DBPass, Network: network, Address: address}
}

// MonitorLogin is the account for reading along: the configured one, else moodle-exporter without a
// password over the server's socket.
func (s *Site) MonitorLogin() (Login, error) { return s.login(s.Monitor, MonitorAccount) }

// AdminLogin is the account for backup and restore: the configured one, else root over the socket.
func (s *Site) AdminLogin() (Login, error) { return s.login(s.Admin, "root") }

func (s *Site) login(account config.Account, fallback string) (Login, error) {
	login := Login{User: fallback}
	login.Network, login.Address = s.Config.address()
	// A server on another port is another server than the one behind the default socket.
	if login.Network == "tcp" && account.PasswordFile == "" && s.Config.local() && strings.HasSuffix(login.Address, ":3306") {
		if socket := existing(defaultSockets); socket != "" {
			login.Network, login.Address = "unix", socket
		}
	}
	if account.Socket != "" {
		login.Network, login.Address = "unix", account.Socket
	}
	if account.User != "" {
		login.User = account.User
	}
	if account.PasswordFile != "" {
		password, err := config.ReadSecretFile(account.PasswordFile)
		if err != nil {
			return Login{}, fmt.Errorf("database account %s of site %s: %w", login.User, s.Name, err)
		}
		login.Password = password
	}
	return login, nil
}

// Driver is the driver's configuration for this login. It never becomes a string that is put together by
// hand, so every character may stand in a password. timeout bounds dialling and each read and write.
func (l Login) Driver(database string, timeout time.Duration) *mysql.Config {
	driver := mysql.NewConfig()
	driver.User, driver.Passwd = l.User, l.Password.Reveal()
	driver.Net, driver.Addr = l.Network, l.Address
	driver.DBName = database
	driver.Collation = "utf8mb4_general_ci"
	driver.Timeout, driver.ReadTimeout, driver.WriteTimeout = timeout, timeout, timeout
	driver.InterpolateParams = true
	driver.Logger = &mysql.NopLogger{}
	return driver
}

// address is how Moodle itself would connect (lib/dml/mysqli_native_moodle_database.php): a socket if one
// is named or the host is localhost, else TCP; old sites write the port behind the host.
func (c PHPConfig) address() (network, address string) {
	if c.DBSocket != "" {
		return "unix", c.DBSocket
	}
	host, port := c.DBHost, c.DBPort
	if name, written, found := strings.Cut(host, ":"); found && strings.Count(host, ":") == 1 {
		host = name
		if number, err := strconv.Atoi(written); err == nil && port == 0 {
			port = number
		}
	}
	if host == "localhost" && port == 0 {
		// A server that is down has no socket; its address, which is also its label, must stay the same.
		return "unix", cmp.Or(existing(defaultSockets), defaultSockets[0])
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 3306
	}
	return "tcp", net.JoinHostPort(host, strconv.Itoa(port))
}

// local says whether the database server runs on this host.
func (c PHPConfig) local() bool {
	host, _, _ := strings.Cut(c.DBHost, ":")
	return c.DBSocket != "" || host == "localhost" || host == "" || net.ParseIP(host).IsLoopback()
}

func existing(paths []string) string {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
			return path
		}
	}
	return ""
}
