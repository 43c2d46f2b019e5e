<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['enable' => false, 'enablelater' => false, 'enableold' => false, 'disable' => false, 'help' => false], ['h' => 'help']);
if ($options['help']) {
    echo "Maintenance mode settings.\nOptions:\n--enable --enablelater=MINUTES --enableold --disable -h --help\n";
    exit(0);
}
echo "== Maintenance mode ($CFG->wwwroot) ==\n";
$file = "$CFG->dataroot/climaintenance.html";
if ($options['enablelater'] !== false) {
    if (is_file($file)) {
        echo "Your site is currently in CLI maintenance mode, no web access is allowed.\n";
        exit(0); // Moodle says 0 here as well.
    }
    set_config('maintenance_later', (string) (time() + 60 * (int) $options['enablelater']));
    echo 'status: CLI maintenance mode will be enabled on ' . date('l, j F Y, g:i A', (int) $CFG->maintenance_later) . "\n";
} else if ($options['enable']) {
    if (is_file($file)) {
        exit(0); // and not a word about it
    }
    enable_cli_maintenance_mode();
    echo "Your site is currently in CLI maintenance mode, no web access is allowed.\n";
} else if ($options['enableold']) {
    set_config('maintenance_enabled', '1');
    set_config('maintenance_later', null);
    echo "Your site is currently in maintenance mode (only admins can log in or use the site).\n";
} else if ($options['disable']) {
    @unlink($file);
    set_config('maintenance_enabled', '0');
    set_config('maintenance_later', null);
    echo "Maintenance mode has been disabled and the site is running normally again\n";
} else if (!empty($CFG->maintenance_later)) {
    echo 'status: CLI maintenance mode will be enabled on ' . date('l, j F Y, g:i A', (int) $CFG->maintenance_later) . "\n";
} else {
    echo 'Status: ' . (CLI_MAINTENANCE || !empty($CFG->maintenance_enabled) ? 'enabled' : 'disabled') . "\n";
}
