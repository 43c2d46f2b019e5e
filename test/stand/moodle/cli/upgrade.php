<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['non-interactive' => false, 'allow-unstable' => false, 'is-pending' => false, 'is-maintenance-required' => false,
    'maintenance' => 'true', 'lang' => '', 'verbose-settings' => false, 'set-ui-upgrade-lock' => false, 'unset-ui-upgrade-lock' => false,
    'help' => false], ['h' => 'help']);
if ($options['help']) {
    echo "Command line Moodle upgrade.\nOptions:\n--non-interactive --allow-unstable --is-pending --is-maintenance-required --maintenance=false\n";
    exit(0);
}
if (empty($CFG->version)) {
    fwrite(STDERR, "Config table does not contain the version. You cannot continue.\n");
    exit(1);
}
$code = code_version();
$pending = upgrade_pending();
if ((float) $code->version < (float) $CFG->version) {
    fwrite(STDERR, "Error: The code you are using is older than the version recorded in the database.\n");
    exit(1);
}
if (!$pending) {
    fwrite(STDERR, "No upgrade needed for the installed version $CFG->release ($CFG->version). Thanks for coming anyway!\n");
    exit(0);
}
if ($options['is-pending'] || $options['is-maintenance-required']) {
    fwrite(STDERR, "An upgrade is pending\n"); // Moodle's cli_error, whatever the exit status.
    exit(2);
}
if ((int) ini_get('max_input_vars') < 5000) {
    echo "== Environment ==\n!! max_input_vars !!\n[Error] this test must pass: PHP setting max_input_vars must be at least 5000.\n";
    exit(1);
}
if ($code->maturity < MATURITY_STABLE && !$options['allow-unstable']) {
    echo "This version is not stable; use --allow-unstable.\n";
    exit(1);
}
if (!$options['non-interactive']) {
    echo "Upgrade Moodle database from version $CFG->version to $code->version?\ntype y (means yes) or n (means no)\n: ";
    if (strtolower(trim((string) fgets(STDIN))) !== 'y') {
        exit(1);
    }
}

$log = fn(int $type, string $plugin, string $from, string $to, string $info) => sql_run(
    'INSERT INTO {upgrade_log} (type, plugin, version, targetversion, info, userid, timemodified) VALUES (?, ?, ?, ?, ?, 0, ?)',
    [$type, $plugin, $from, $to, $info, time()]);
echo "-->System\n";
set_config('upgraderunning', (string) (time() + 300));
$log(0, 'core', $CFG->version, (string) $code->version, 'Starting core upgrade');
try {
    // A test gives the new code steps, also failing ones, where Moodle keeps them.
    if (is_file("$CFG->libdir/db/upgrade.php")) {
        require "$CFG->libdir/db/upgrade.php";
        xmldb_main_upgrade((float) $CFG->version);
    }
} catch (Throwable $problem) {
    $log(2, 'core', $CFG->version, (string) $code->version, $problem->getMessage());
    set_config('upgraderunning', null); // as Moodle's shutdown handler does
    echo "!!! {$problem->getMessage()} !!!\n";
    exit(1);
}
$log(0, 'core', $CFG->version, (string) $code->version, 'Core upgraded');
foreach (['version', 'release', 'branch'] as $name) {
    set_config($name, (string) $code->$name);
}
foreach (plugins_on_disk() as $plugin => $version) {
    set_config('version', $version, $plugin);
}
set_config('allversionshash', versions_hash());
set_config('upgraderunning', null);
echo "++ Success (0.25 seconds) ++\n== Setting new default values ==\n";
echo "Command line upgrade from $CFG->release to $code->release ($code->version) completed successfully.\n";
