package moodle

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// readerScript runs a site's config.php and prints what it set. ABORT_AFTER_CONFIG makes lib/setup.php stop
// before it connects to anything (no database, works in maintenance mode); should it stop earlier, because
// dataroot is not writable, the shutdown function still prints. The mark tells our line from whatever the
// file prints by itself. The password goes through base64, so that any bytes survive.
const readerScript = `
define('CLI_SCRIPT', true);
define('ABORT_AFTER_CONFIG', true);
$mark = $argv[2];
register_shutdown_function(function () use ($mark) {
    global $CFG;
    $out = ['php' => PHP_VERSION];
    foreach (['dbtype','dbhost','dbname','dbuser','prefix','wwwroot','dataroot','tempdir','cachedir','localcachedir',
        'backuptempdir','filedir','trashdir','secretdataroot','alternative_file_system_class','session_handler_class',
        'session_redis_host','session_redis_port','session_redis_database','session_redis_prefix'] as $name) {
        if (isset($CFG->$name) && is_scalar($CFG->$name)) {
            $out[$name] = (string)$CFG->$name;
        }
    }
    $out['dbpass64'] = base64_encode(isset($CFG->dbpass) ? (string)$CFG->dbpass : '');
    $auth = isset($CFG->session_redis_auth) ? $CFG->session_redis_auth : '';
    $auth = array_values(array_filter(is_array($auth) ? $auth : [$auth], 'is_scalar'));
    $out['redispass64'] = base64_encode($auth ? (string)end($auth) : '');
    $out['redisuser64'] = base64_encode(count($auth) > 1 ? (string)$auth[0] : '');
    $out['session_redis_tls'] = !empty($CFG->session_redis_encrypt);
    $options = isset($CFG->dboptions) && is_array($CFG->dboptions) ? $CFG->dboptions : [];
    $out['dbport'] = isset($options['dbport']) ? (int)$options['dbport'] : 0;
    $out['dbsocket'] = isset($options['dbsocket']) && is_string($options['dbsocket']) ? $options['dbsocket'] : '';
    echo "\n", $mark, json_encode($out, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES), "\n";
});
require $argv[1];
`

// phpOutput is what readerScript prints.
type phpOutput struct {
	PHP              string `json:"php"`
	PHPConfig               // the names of the fields are those of $CFG
	DBPass64         string `json:"dbpass64"`
	RedisPass64      string `json:"redispass64"`
	RedisUser64      string `json:"redisuser64"`
	SessionRedisHost string `json:"session_redis_host"`
	SessionRedisPort string `json:"session_redis_port"`
}

const (
	phpTimeout     = 15 * time.Second
	phpOutputLimit = 1 << 20
)

// runConfig reads config.php by running it, as the site's own user: as root it would give root to whoever
// can write that file.
func runConfig(ctx context.Context, php, path string, user *command.User, environment []string) (PHPConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, phpTimeout)
	defer cancel()
	mark := "moodle-exporter-" + rand.Text() + ":"
	output, err := command.Output(ctx, phpOutputLimit, command.Command{
		Name: php, User: user, Dir: "/", Env: environment,
		Args: []string{"-d", "display_errors=stderr", "-d", "memory_limit=128M", "-r", readerScript, "--", path, mark},
	})
	_, line, printed := bytes.Cut(output, []byte(mark))
	if !printed {
		if err == nil {
			err = errors.New("it printed nothing")
		}
		return PHPConfig{}, fmt.Errorf("read %s by PHP: %w", path, withoutOutput(err))
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	var read phpOutput
	if err := json.Unmarshal(line, &read); err != nil {
		return PHPConfig{}, fmt.Errorf("read %s by PHP: its answer is not understood", path)
	}
	c := read.PHPConfig
	password, dbErr := base64.StdEncoding.DecodeString(read.DBPass64)
	redisPassword, passErr := base64.StdEncoding.DecodeString(read.RedisPass64)
	redisUser, userErr := base64.StdEncoding.DecodeString(read.RedisUser64)
	if errors.Join(dbErr, passErr, userErr) != nil {
		return PHPConfig{}, fmt.Errorf("read %s by PHP: its answer is not understood", path)
	}
	c.DBPass, c.PHPVersion, c.ReadBy = config.Secret(password), read.PHP, "php"
	c.RedisPassword, c.RedisUser = config.Secret(redisPassword), string(redisUser)
	c.RedisSession = redisAddress(read.SessionRedisHost, read.SessionRedisPort)
	if c.DBType == "" && err != nil {
		return PHPConfig{}, fmt.Errorf("read %s by PHP as %s: it cannot be opened or breaks off: %w", path, user.Name, withoutOutput(err))
	}
	c.setDefaults()
	return c, c.check()
}

// withoutOutput drops what PHP wrote to stderr: a parse error can quote the line with the password.
func withoutOutput(err error) error {
	var failure *command.Error
	if errors.As(err, &failure) {
		quiet := *failure
		quiet.Stderr = ""
		if strings.Contains(failure.Stderr, "Parse error") {
			quiet.Stderr = "PHP finds a parse error in it; php -l shows where"
		}
		return &quiet
	}
	return err
}
