<?php
// Stand-in for Moodle's lib/setup.php, written for this project's tests: it answers the questions
// that operations tools ask of a site (configuration, maintenance, database, versions) as Moodle does.

defined('CLI_SCRIPT') || define('CLI_SCRIPT', false);
defined('ABORT_AFTER_CONFIG') || define('ABORT_AFTER_CONFIG', false);
if (isset($_SERVER['REMOTE_ADDR'])) {
    if (CLI_SCRIPT) {
        echo 'Command line scripts can not be executed from the web interface';
        exit(1);
    }
} else if (!CLI_SCRIPT) {
    echo "Command line scripts must define CLI_SCRIPT before requiring config.php\n";
    exit(1);
}

define('MOODLE_INTERNAL', true);

// Derived settings.
$CFG->root = dirname(__DIR__);
$CFG->dirroot = is_file("$CFG->root/public/version.php") ? "$CFG->root/public" : $CFG->root;
$CFG->libdir = "$CFG->dirroot/lib";
$CFG->admin ??= 'admin';
if (!isset($CFG->dataroot) || !is_dir($CFG->dataroot)) {
    standin_fatal('$CFG->dataroot is not configured properly, directory does not exist or is not accessible! Exiting.');
}
$CFG->tempdir ??= "$CFG->dataroot/temp";
$CFG->backuptempdir ??= "$CFG->tempdir/backup";
$CFG->cachedir ??= "$CFG->dataroot/cache";
$CFG->localcachedir ??= "$CFG->dataroot/localcache";
$CFG->localrequestdir ??= sys_get_temp_dir() . '/requestdir';
$CFG->directorypermissions ??= 02777;
$CFG->filepermissions ??= $CFG->directorypermissions & 0666;
$CFG->dboptions ??= [];

if (is_file("$CFG->dataroot/climaintenance.html")) {
    if (!CLI_SCRIPT) {
        standin_closed(file_get_contents("$CFG->dataroot/climaintenance.html"));
    }
    define('CLI_MAINTENANCE', true);
}
defined('CLI_MAINTENANCE') || define('CLI_MAINTENANCE', false);
if (!is_writable($CFG->dataroot)) {
    standin_fatal('$CFG->dataroot is not writable, admin has to fix directory permissions! Exiting.');
}
if (ABORT_AFTER_CONFIG) {
    return;
}

// What is thrown ends a script as in Moodle: with the message on standard output.
set_exception_handler(fn(Throwable $problem) => standin_error($problem instanceof mysqli_sql_exception ? 'Error reading from database' : $problem->getMessage()));

// Everything from here on needs the database.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$options = $CFG->dboptions;
try {
    $socket = $options['dbsocket'] ?? '';
    $DB = new moodle_database($CFG->dbhost, $CFG->dbuser, $CFG->dbpass, $CFG->dbname,
        (int) ($options['dbport'] ?? 0) ?: null, is_string($socket) && $socket !== '' ? $socket : null);
    $DB->set_charset('utf8mb4');
    $forced = (array) $CFG;
    foreach (sql_rows("SELECT name, value FROM {config}") as $row) {
        $CFG->{$row['name']} ??= $row['value'];
    }
} catch (mysqli_sql_exception) {
    standin_error('<p>Error: Database connection failed</p><p>It is possible that the database is overloaded or otherwise not running properly.</p>');
}
if (CLI_SCRIPT && (int) ($CFG->upgraderunning ?? 0) > time()) {
    standin_error('Site is being upgraded, please retry later.');
}
if ((int) ($CFG->maintenance_later ?? 0) > 0 && (int) $CFG->maintenance_later <= time() && !CLI_MAINTENANCE) {
    enable_cli_maintenance_mode();
    if (!CLI_SCRIPT) {
        standin_closed(file_get_contents("$CFG->dataroot/climaintenance.html"));
    }
}
if (!CLI_SCRIPT && !empty($CFG->maintenance_enabled)) {
    standin_closed('<title>' . site_name() . '</title>This site is undergoing maintenance and is currently not available');
}

/** As much of Moodle's database class as is used here. */
class moodle_database extends mysqli {
    public function get_field(string $table, string $field, array $conditions): string|false {
        $where = implode(' AND ', array_map(fn(string $name): string => "$name = ?", array_keys($conditions)));
        return sql_rows("SELECT $field AS value FROM {{$table}} WHERE $where LIMIT 1", array_values($conditions))[0]['value'] ?? false;
    }

    public function record_exists(string $table, array $conditions): bool {
        return $this->get_field($table, '1', $conditions) !== false;
    }
}

/** Ends with a message as Moodle prints it before it can load anything: on standard output. */
function standin_fatal(string $message): never {
    if (!CLI_SCRIPT) {
        http_response_code(500);
    }
    echo "Fatal error: $message\n";
    exit(1);
}

function standin_error(string $message): never {
    if (!CLI_SCRIPT) {
        http_response_code(500);
        echo $message;
        exit(1);
    }
    echo "!!! $message !!!\n";
    exit(1);
}

function standin_closed(string $page): never {
    http_response_code(503);
    header('Status: 503 Moodle under maintenance');
    header('Retry-After: 300');
    header('Content-Type: text/html; charset=utf-8');
    echo $page;
    exit;
}

/** Runs a statement; {name} is a table of this site, ? a value. */
function sql_run(string $sql, array $values = []): mysqli_result|bool {
    global $DB, $CFG;
    return $DB->execute_query(preg_replace('/\{(\w+)\}/', $CFG->prefix . '$1', $sql), $values);
}

function sql_rows(string $sql, array $values = []): array {
    return sql_run($sql, $values)->fetch_all(MYSQLI_ASSOC);
}

function set_config(string $name, ?string $value, string $plugin = ''): void {
    global $CFG;
    [$table, $columns, $key] = $plugin === ''
        ? ['{config}', 'name', [$name]] : ['{config_plugins}', 'plugin, name', [$plugin, $name]];
    if ($value === null) {
        $where = $plugin === '' ? 'name = ?' : 'plugin = ? AND name = ?';
        sql_run("DELETE FROM $table WHERE $where", $key);
    } else {
        $marks = str_repeat('?, ', count($key));
        sql_run("INSERT INTO $table ($columns, value) VALUES ($marks ?) ON DUPLICATE KEY UPDATE value = VALUES(value)",
            [...$key, $value]);
    }
    if ($plugin === '') {
        $CFG->$name = $value;
    }
}

function get_config(string $plugin, string $name): ?string {
    return sql_rows('SELECT value FROM {config_plugins} WHERE plugin = ? AND name = ?', [$plugin, $name])[0]['value'] ?? null;
}

function site_name(): string {
    return sql_rows('SELECT shortname FROM {course} WHERE category = 0')[0]['shortname'] ?? '';
}

function enable_cli_maintenance_mode(): void {
    global $CFG;
    $template = "$CFG->dataroot/climaintenance.template.html";
    $page = is_file($template) ? file_get_contents($template)
        : '<!DOCTYPE html><title>Site maintenance</title><p>This site is undergoing maintenance and is currently not available</p>';
    file_put_contents("$CFG->dataroot/climaintenance.html", ($CFG->maintenance_message ?? '') ?: $page);
    // Moodle up to 4.5 leaves no trace of this mode in the database; 5.1 writes these words.
    set_config('maintenance_enabled', (int) $CFG->branch > 500 ? 'cli mode' : '0');
    set_config('maintenance_later', null);
}
