<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['type' => 'status', 'filter' => '', 'verbose' => false, 'help' => false], ['h' => 'help', 'v' => 'verbose', 't' => 'type', 'f' => 'filter']);
if (!in_array($options['type'], ['status', 'security', 'performance'], true)) {
    fwrite(STDERR, "Unknown check type\n");
    exit(1);
}
$now = time();
$silence = $now - (int) get_config('tool_task', 'lastcronstart');
$delay = (int) sql_rows('SELECT MAX(faildelay) AS delay FROM {task_scheduled} WHERE disabled = 0')[0]['delay'];
$oldest = sql_rows('SELECT MIN(nextruntime) AS due FROM {task_adhoc} WHERE nextruntime <= ? AND timestarted IS NULL', [$now])[0]['due'];
$waiting = $oldest === null ? 0 : $now - (int) $oldest;
$level = fn(int $value, int $warning, int $error): string => $value > $error ? 'ERROR' : ($value > $warning ? 'WARNING' : 'OK');
$checks = $options['type'] !== 'status' ? [] : [
    'core_environment' => ['Environment', (int) ini_get('max_input_vars') < 5000 ? 'ERROR' : 'OK', 'max_input_vars'],
    'core_upgradecheck' => ['Upgrade', upgrade_pending() ? 'ERROR' : 'OK', "Moodle $CFG->release"],
    'core_antivirus' => ['Antivirus', 'NA', 'Not used'],
    'tool_task_cronrunning' => ['Cron running', $level($silence, 260, 86400), "Last cron ran $silence secs ago"],
    'tool_task_maxfaildelay' => ['Max fail delay', $level($delay, 300, 14400), "Fail delay $delay secs"],
    'tool_task_adhocqueue' => ['Adhoc task queue', $level($waiting, 600, 14400), "Oldest adhoc task $waiting secs"],
    'tool_task_longrunningtasks' => ['Long running tasks', 'OK', 'No long running tasks'],
];
$codes = ['OK' => 0, 'NA' => 0, 'INFO' => 0, 'WARNING' => 1, 'ERROR' => 2];
// Coloured even where nobody sees it, as Moodle's own are; the words are in no language.
$labels = ['OK' => "      \033[0;32m OK ", 'NA' => "      \033[1;30m NA ", 'INFO' => "    \033[0;34m INFO ",
    'WARNING' => " \033[0;30m\033[43m WARNING ", 'ERROR' => "   \033[41m ERROR "];
$worst = 'OK';
$first = "All '$options[type]' checks OK";
$table = '';
foreach ($checks as $ref => [$name, $status, $summary]) {
    if ($options['filter'] !== '' && !str_contains($ref, $options['filter'])) {
        continue;
    }
    if ($codes[$status] > $codes[$worst]) {
        [$worst, $first] = [$status, "$name ($ref)"];
    }
    if ($options['verbose'] || $codes[$status] > 0) {
        $table .= sprintf("%10s| %-60s\n%10s| %-60s\n", $labels[$status] . "\033[0;0m", "$name ($ref)", '', "    $summary");
    }
}
echo ['OK' => 'OK', 'WARNING' => 'WARNING', 'ERROR' => 'CRITICAL'][$worst], ": $first\n", $table === '' ? '' : sprintf("%10s| %-60s\n", 'Status ', 'Check') . '----------+' . str_repeat('-', 68) . "\n", $table;
exit($codes[$worst]);
