<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

cli_options(['help' => false], ['h' => 'help']);
$expected = ['config', 'config_plugins', 'config_log', 'upgrade_log', 'task_scheduled', 'task_adhoc', 'task_log', 'user', 'sessions',
    'context', 'course', 'files', 'logstore_standard_log'];
$tables = array_column(sql_rows('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()'), 'name');
$wrong = array_filter($expected, fn(string $table): bool => !in_array($CFG->prefix . $table, $tables, true));
foreach ($wrong as $table) {
    echo "-------------------------------------------------------------------------------\n$table\n * table is missing\n";
}
if (!$wrong) {
    echo "Database structure is ok.\n";
}
exit($wrong ? 1 : 0);
