<?php
// Stand-in for Moodle's lib/environmentlib.php: as much of the checks before an upgrade as tools ask for.
defined('MOODLE_INTERNAL') || die();

define('ENV_SELECT_RELEASE', 2);

function normalize_version(string $version): string {
    return preg_match('/^[0-9]+(\.[0-9]+)*/', $version, $found) ? $found[0] : '';
}

/** Reads admin/environment.xml, of which the stand-in knows the version of PHP. */
function check_moodle_environment(string $version, int $select): array {
    global $CFG;
    $file = "$CFG->dirroot/admin/environment.xml";
    $results = [];
    if (is_file($file) && preg_match('/<PHP version="([0-9.]+)"/', file_get_contents($file), $found)) {
        $needed = $found[1];
        $results[] = (object) ['status' => version_compare(PHP_VERSION, $needed, '>='), 'info' => 'php',
            'report' => "version $needed is required and you are running " . PHP_VERSION];
    }
    return [!array_filter($results, fn(stdClass $result): bool => !$result->status), $results];
}

function environment_get_errors(array $results): array {
    $failed = array_filter($results, fn(stdClass $result): bool => !$result->status);
    return array_map(fn(stdClass $result): array => [$result->info, $result->report], array_values($failed));
}
