<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['component' => '', 'name' => '', 'set' => null, 'unset' => false, 'json' => false, 'shell-arg' => false,
    'no-eol' => false, 'help' => false], ['h' => 'help']);
if ($options['help']) {
    echo "Manage site configuration.\nOptions:\n--component --name --set --unset --json --shell-arg --no-eol\n";
    exit(2);
}
['component' => $component, 'name' => $name] = $options;
$core = $component === '' || $component === 'core' || $component === 'moodle';
if ($name === '') {
    $all = $core ? (array) $CFG : array_column(sql_rows('SELECT name, value FROM {config_plugins} WHERE plugin = ?', [$component]), 'value', 'name');
    if ($options['json']) {
        echo json_encode($all), "\n";
    } else {
        foreach ($all as $key => $value) {
            echo "$key\t", is_scalar($value) ? $value : json_encode($value), "\n";
        }
    }
    exit(0);
}
if ($options['set'] !== null || $options['unset']) {
    if ($core && array_key_exists($name, $forced)) {
        fwrite(STDERR, "The configuration variable is hard-set in the config.php, unable to change.\n");
        exit(4);
    }
    set_config($name, $options['unset'] ? null : $options['set'], $core ? '' : $component);
    exit(0);
}
$value = $core ? ($CFG->$name ?? null) : get_config($component, $name);
if ($value === null) {
    fwrite(STDERR, "No such configuration variable found.\n");
    exit(3);
}
$text = $options['json'] ? json_encode($value) : (is_scalar($value) ? (string) $value : json_encode($value));
echo $options['shell-arg'] ? escapeshellarg($text) : $text, $options['no-eol'] ? '' : "\n";
