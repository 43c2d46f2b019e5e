<?php
// Asks the code in $argv[1] what upgrade.php would ask before it begins (admin/cli/upgrade.php), and changes nothing.
define('CLI_SCRIPT', true);
define('CACHE_DISABLE_ALL', true);
[, $dir, $mark] = $argv;
require $dir . '/config.php';
require_once $CFG->libdir . '/environmentlib.php';
require_once $CFG->libdir . '/upgradelib.php';
$version = $release = $branch = $maturity = null;
require "$CFG->dirroot/version.php";
[$ok, $results] = check_moodle_environment(normalize_version($release), ENV_SELECT_RELEASE);
$environment = [];
foreach ($ok ? [] : environment_get_errors($results) as [$info, $report]) {
    $environment[] = trim(strip_tags($info . ': ' . $report));
}
$failed = [];
core_plugin_manager::instance()->all_plugins_ok($version, $failed, $branch);
echo "\n", $mark, json_encode([
    'ok' => (bool) $ok,
    'environment' => $environment,
    'plugins' => array_values(array_unique($failed)),
    'stale' => upgrade_stale_php_files_present(),
    'database' => (string) $CFG->version,
], JSON_INVALID_UTF8_SUBSTITUTE), "\n";
