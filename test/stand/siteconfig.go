package stand

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ConfigStyle is how a site's config.php gives its values.
type ConfigStyle int

// The styles: what an installer writes, what containers do, and what only PHP can read.
const (
	ConfigLiteral  ConfigStyle = iota // quoted strings and numbers, as the installer writes
	ConfigGetenv                      // database settings and wwwroot from the environment
	ConfigComputed                    // functions, constants, a required file: only PHP can read it
)

// PHPString quotes s as a PHP literal in single quotes, in which only \ and ' need escaping.
func PHPString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// writeConfig writes config.php.
func (s *Site) writeConfig(db *MariaDBServer, o SiteOptions) error {
	host, dbOptions := "127.0.0.1", fmt.Sprintf("'dbport' => %d, 'dbsocket' => ''", db.Port)
	if o.Socket {
		host, dbOptions = "localhost", "'dbport' => '', 'dbsocket' => "+PHPString(db.Socket)
	}
	php := map[string]string{
		"dbtype": "'mariadb'", "dblibrary": "'native'", "dbhost": PHPString(host), "dbname": PHPString(s.Database),
		"dbuser": PHPString(s.User), "dbpass": PHPString(s.Password), "prefix": PHPString(s.Prefix),
		"wwwroot": PHPString(s.WWWRoot), "dataroot": PHPString(s.Dataroot), "admin": "'admin'",
	}
	before := ""
	switch o.Config {
	case ConfigLiteral:
	case ConfigGetenv:
		for field, value := range map[string]string{
			"dbhost": host, "dbname": s.Database, "dbuser": s.User, "dbpass": s.Password, "wwwroot": s.WWWRoot,
		} {
			name := "MOODLE_" + strings.ToUpper(field)
			php[field] = "getenv(" + PHPString(name) + ")"
			s.environment = append(s.environment, name+"="+value)
		}
	case ConfigComputed:
		secret := "<?php\nreturn base64_decode(" + PHPString(base64.StdEncoding.EncodeToString([]byte(s.Password))) + ");\n"
		if err := os.WriteFile(filepath.Join(s.CodeDir, "secret.php"), []byte(secret), 0o640); err != nil {
			return err
		}
		php["dbpass"] = "require __DIR__ . '/secret.php'"
		php["dataroot"] = "dirname(__DIR__) . DIRECTORY_SEPARATOR . " + PHPString(filepath.Base(s.Dataroot))
		php["prefix"] = "$live ? " + PHPString(s.Prefix) + " : 'staging_'"
		before = "$live = php_uname('n') !== '';\n"
	}
	var b strings.Builder
	b.WriteString("<?php  // Moodle configuration file\n\nunset($CFG);\nglobal $CFG;\n$CFG = new stdClass();\n\n" + before)
	for _, field := range []string{"dbtype", "dblibrary", "dbhost", "dbname", "dbuser", "dbpass", "prefix"} {
		fmt.Fprintf(&b, "$CFG->%-9s = %s;\n", field, php[field])
	}
	fmt.Fprintf(&b, "$CFG->dboptions = array(\n  'dbpersist' => 0, %s,\n  'dbcollation' => 'utf8mb4_unicode_ci',\n);\n\n", dbOptions)
	for _, field := range []string{"wwwroot", "dataroot", "admin"} {
		fmt.Fprintf(&b, "$CFG->%-8s = %s;\n", field, php[field])
	}
	b.WriteString("\n$CFG->directorypermissions = 02770;\n\nrequire_once(__DIR__ . '/lib/setup.php');\n")
	return os.WriteFile(filepath.Join(s.CodeDir, "config.php"), []byte(b.String()), 0o640)
}
