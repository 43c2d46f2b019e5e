<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

$options = cli_options(['stop' => false, 'list' => false, 'force' => false, 'enable' => false, 'disable' => false,
    'disable-wait' => false, 'keep-alive' => 180, 'help' => false], ['h' => 'help', 's' => 'stop', 'l' => 'list', 'f' => 'force',
    'e' => 'enable', 'd' => 'disable', 'w' => 'disable-wait', 'k' => 'keep-alive']);
$running = "SELECT 'scheduled' AS type, classname, timestarted, hostname, pid FROM {task_scheduled} WHERE timestarted IS NOT NULL
    UNION ALL SELECT 'adhoc', classname, timestarted, hostname, pid FROM {task_adhoc} WHERE timestarted IS NOT NULL";

if ($options['help']) {
    echo "Execute periodic cron actions.\nOptions:\n-h --help -s --stop -l --list -f --force -e --enable -d --disable -w --disable-wait=600 -k --keep-alive=N\n";
    exit(0);
}
if ($options['list']) {
    echo "The list of currently running tasks:\n";
    $format = "%7s %-12s %-9s %-20s %-52s\n";
    printf($format, 'PID', 'HOST', 'TYPE', 'TIME', 'CLASSNAME');
    foreach (sql_rows($running) as $task) {
        printf($format, $task['pid'], substr((string) $task['hostname'], 0, 12), $task['type'], time() - (int) $task['timestarted'] . ' secs',
            substr($task['classname'], 0, 52));
    }
    exit(0);
}
if ($options['enable'] || $options['disable']) {
    set_config('cron_enabled', $options['enable'] ? '1' : '0');
    echo 'Cron has been ' . ($options['enable'] ? 'enabled' : 'disabled') . " for the site.\n";
    exit(0);
}
if ($options['disable-wait'] !== false) {
    $limit = time() + ($options['disable-wait'] === true ? 600 : (int) $options['disable-wait']);
    set_config('cron_enabled', '0');
    echo "Cron has been disabled for the site.\nAllocating ", $limit - time(), " secs for the tasks to finish.\n";
    while (($left = count(sql_rows($running))) > 0) {
        if (time() >= $limit) {
            echo "\nWait time elapsed, but $left task(s) still running.\nExiting with code 1.\n";
            exit(1);
        }
        usleep(100000);
    }
    echo "\nAll scheduled and adhoc tasks finished.\n";
    exit(0);
}
if (CLI_MAINTENANCE) {
    echo "CLI maintenance mode active, cron execution suspended.\n";
    exit(1);
}
if (upgrade_pending()) {
    echo "Moodle upgrade pending, cron execution suspended.\n";
    exit(1);
}
if (($CFG->cron_enabled ?? '1') !== '1' && !$options['force']) {
    echo "Cron is disabled. Use --force to override.\n";
    exit(1);
}

pcntl_async_signals(true);
$stopping = false;
$stop = function () use (&$stopping) { $stopping = true; };
pcntl_signal(SIGTERM, $stop);
pcntl_signal(SIGINT, $stop);

$started = time();
$last = (int) get_config('tool_task', 'lastcronstart');
set_config('lastcronstart', (string) $started, 'tool_task');
set_config('lastcroninterval', (string) max(0, $started - $last), 'tool_task');
echo 'Server Time: ' . date('r') . "\n\n";

/** Runs one task: a row of the task log, and the next run a minute from now. */
$execute = function (string $table, array $task): void {
    $name = $table === '{task_adhoc}' ? 'adhoc' : 'scheduled';
    echo "Execute $name task: $task[classname]\n";
    $from = microtime(true);
    sql_run("UPDATE $table SET timestarted = ?, hostname = ?, pid = ? WHERE id = ?", [time(), gethostname(), getmypid(), $task['id']]);
    if (preg_match('/^\\\\standin\\\\sleep_(\d+)$/', $task['classname'], $seconds)) {
        sleep((int) $seconds[1]); // A task that takes its time, for those who must wait for cron.
    }
    sql_run('INSERT INTO {task_log} (type, component, classname, userid, timestart, timeend, dbreads, dbwrites, result, output, hostname, pid)
        VALUES (?, ?, ?, 0, ?, ?, 2, 1, 0, ?, ?, ?)', [$name === 'adhoc' ? 1 : 0, $task['component'], ltrim($task['classname'], '\\'),
        $from, microtime(true), "... used 2 dbqueries\n", gethostname(), getmypid()]);
    if ($name === 'adhoc') {
        sql_run('DELETE FROM {task_adhoc} WHERE id = ?', [$task['id']]);
    } else {
        sql_run('UPDATE {task_scheduled} SET timestarted = NULL, hostname = NULL, pid = NULL, lastruntime = ?, nextruntime = ?, faildelay = 0 WHERE id = ?',
            [(int) $from, time() + 60, $task['id']]);
    }
};

// An earlier round's keep-alive ends as soon as cron is switched off.
do {
    foreach (['{task_scheduled}' => 'AND disabled = 0', '{task_adhoc}' => ''] as $table => $also) {
        foreach (sql_rows("SELECT id, component, classname FROM $table WHERE nextruntime <= ? AND timestarted IS NULL $also", [time()]) as $task) {
            if ($stopping) {
                break 3;
            }
            $execute($table, $task);
        }
    }
    $left = $started + (int) $options['keep-alive'] - time();
    $enabled = (sql_rows("SELECT value FROM {config} WHERE name = 'cron_enabled'")[0]['value'] ?? '1') === '1' || $options['force'];
    if ($left > 0 && $enabled && !$stopping) {
        sleep(1);
    }
} while ($left > 0 && $enabled && !$stopping);
echo 'Cron completed at ' . date('H:i:s') . '. Memory used ' . round(memory_get_peak_usage() / 1048576, 1) . " MB.\n";
