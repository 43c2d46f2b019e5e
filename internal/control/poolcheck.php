<?php
// Written by moodle-exporter for one check, and removed after it: starts the site inside its PHP-FPM pool, where the
// maintenance page does not stand in the way, and tells which code and which database answer.
if (!isset($_SERVER['MXP_MARK'], $_SERVER['MXP_CONFIG']) || isset($_SERVER['REMOTE_ADDR'])) {
    exit;
}
define('CLI_SCRIPT', true); // Since there is no REMOTE_ADDR, Moodle takes this for a command line.
$mxpanswer = ['php' => PHP_VERSION];
$mxpopcache = function_exists('opcache_get_status') ? @opcache_get_status(false) : false;
if ($mxpopcache !== false && !empty($mxpopcache['opcache_enabled'])) {
    $mxpanswer['opcache'] = [
        'started' => $mxpopcache['opcache_statistics']['last_restart_time'] ?: $mxpopcache['opcache_statistics']['start_time'],
        'revalidates' => (bool) ini_get('opcache.validate_timestamps'),
    ];
}
require($_SERVER['MXP_CONFIG']);
(function () use (&$mxpanswer) {
    global $CFG, $DB;
    // By the compiled code that this pool has, which may be older than the file.
    $version = $release = $maturity = $branch = null;
    defined('MATURITY_STABLE') || define('MATURITY_STABLE', 200);
    require("$CFG->dirroot/version.php");
    $mxpanswer['code'] = ['version' => sprintf('%.2F', $version), 'release' => (string) $release];
    $mxpanswer['dir'] = realpath($CFG->dirroot);
    $mxpanswer['wwwroot'] = (string) $CFG->wwwroot;
    $mxpanswer['database'] = (string) $DB->get_field('config', 'value', ['name' => 'version']);
    $mxpanswer['users'] = $DB->record_exists('user', ['deleted' => 0]);
})();
echo "\n", $_SERVER['MXP_MARK'], json_encode($mxpanswer, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES), "\n";
