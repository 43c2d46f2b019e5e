<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['search' => null, 'replace' => null, 'skiptables' => '', 'shorten' => false, 'non-interactive' => false, 'help' => false], ['h' => 'help']);
if ($options['help'] || !is_string($options['search']) || !is_string($options['replace'])) {
    echo "Search and replace text throughout the whole database.\n";
    exit(0); // Moodle says 0 here as well.
}
if (!$options['shorten'] && strlen($options['search']) < strlen($options['replace'])) {
    fwrite(STDERR, "Error: Invalid: the replacement is longer than what it replaces\n");
    exit(1);
}
if (!$options['non-interactive']) {
    exit(1);
}
// Moodle goes through all tables but these (db_should_replace in lib/adminlib.php).
$skip = ['config', 'config_plugins', 'filter_config', 'sessions', 'events_queue', 'repository_instance_config', 'block_instances', 'files'];
$columns = sql_rows("SELECT table_name AS name, column_name AS field FROM information_schema.columns
    WHERE table_schema = DATABASE() AND data_type IN ('varchar', 'longtext', 'mediumtext', 'text')");
foreach ($columns as ['name' => $name, 'field' => $field]) {
    $table = substr($name, strlen($CFG->prefix));
    if (!str_starts_with($name, $CFG->prefix) || in_array($table, $skip, true) || str_contains($table, 'log') || str_contains($field, 'hash')) {
        continue;
    }
    $sql = "UPDATE `$name` SET `$field` = REPLACE(`$field`, ?, ?) WHERE `$field` LIKE ? COLLATE utf8mb4_bin";
    echo str_repeat('-', 32), "\n$sql\n", str_repeat('-', 32), "\n";
    sql_run($sql, [$options['search'], $options['replace'], '%' . addcslashes($options['search'], '%_\\') . '%']);
}
echo "== Success ==\n";
