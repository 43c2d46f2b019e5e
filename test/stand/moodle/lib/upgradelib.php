<?php
// Stand-in for Moodle's lib/upgradelib.php and \core_plugin_manager, for the checks before an upgrade.
defined('MOODLE_INTERNAL') || die();
require_once __DIR__ . '/clilib.php';

function upgrade_stale_php_files_present(): bool {
    global $CFG;
    return is_file("$CFG->dirroot/lib/stale_in_the_standin.php");
}

class core_plugin_manager {
    public static function instance(): self {
        return new self();
    }

    /** Whether each plugin's $plugin->requires is met. */
    public function all_plugins_ok($version, &$failed = [], $branch = null): bool {
        global $CFG;
        foreach (json_decode(file_get_contents("$CFG->root/lib/components.json"), true)['plugintypes'] as $dir) {
            foreach (glob("$CFG->root/$dir/*/version.php") as $file) {
                $plugin = new stdClass();
                require $file;
                if (($plugin->requires ?? 0) > $version) {
                    $failed[] = $plugin->component;
                }
            }
        }
        return !$failed;
    }
}
