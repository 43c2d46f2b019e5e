<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['show-all' => false, 'show-contrib' => false, 'show-missing' => false, 'purge-missing' => false, 'plugins' => '',
    'run' => false, 'help' => false], ['h' => 'help']);
$disk = plugins_on_disk();
$installed = plugins_installed();
$missing = array_diff_key($installed, $disk);
$list = match (true) {
    (bool) $options['show-all'] => $installed + $disk,
    (bool) $options['show-contrib'] => array_diff_key($installed + $disk, array_flip(plugins_standard())),
    (bool) $options['show-missing'] => $missing,
    default => [],
};
ksort($list);
foreach (array_keys($list) as $component) {
    echo "$component\t", substr(strstr($component, '_'), 1), "\n";
}
$remove = $options['purge-missing'] ? array_keys($missing) : array_filter(explode(',', $options['plugins']));
foreach ($remove as $component) {
    echo "Uninstalling: $component\n";
    if ($options['run']) {
        sql_run('DELETE FROM {config_plugins} WHERE plugin = ?', [$component]);
    }
}
