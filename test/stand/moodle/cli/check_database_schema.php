<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

cli_options(['help' => false], ['h' => 'help']);
$expected = ['config', 'config_plugins', 'config_log', 'upgrade_log', 'task_scheduled', 'task_adhoc', 'task_log', 'user', 'sessions',
    'context', 'course', 'files', 'logstore_standard_log'];
$tables = array_column(sql_rows('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()'), 'name');
$errors = [];
foreach ($expected as $table) {
    if (!in_array($CFG->prefix . $table, $tables, true)) {
        $errors[$table][] = 'table is missing';
    }
}
// One table is compared in full, with Moodle's words and order: columns that are missing, indexes, columns too many.
$table = $CFG->prefix . 'upgrade_log';
$columns = ['id', 'type', 'plugin', 'version', 'targetversion', 'info', 'details', 'backtrace', 'userid', 'timemodified'];
$have = array_column(sql_rows("SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '$table'"), 'name');
$indexed = array_column(sql_rows("SELECT column_name AS name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = '$table'"), 'name');
if ($have) {
    foreach (array_diff($columns, $have) as $column) {
        $errors['upgrade_log'][] = "column '$column' is missing";
    }
    if (!in_array('userid', $indexed, true)) {
        $errors['upgrade_log'][] = "Missing index 'userid' (not unique (userid)). \nCREATE INDEX {$CFG->prefix}upgrlog_use_ix ON $table (userid);";
    }
    foreach (array_diff($have, $columns) as $column) {
        $errors['upgrade_log'][] = "column '$column' is not expected (I)";
    }
}
if (!$errors) {
    echo "Database structure is ok.\n";
    exit(0);
}
$ruler = str_repeat('-', 79) . "\n";
foreach ($errors as $table => $items) {
    echo "$ruler$table\n";
    foreach ($items as $item) {
        echo " * $item\n";
    }
}
echo $ruler;
exit(1);
