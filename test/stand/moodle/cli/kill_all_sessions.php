<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

cli_options(['help' => false], ['h' => 'help'], 2);
sql_run('DELETE FROM {sessions}');
array_map('unlink', glob("$CFG->dataroot/sessions/sess_*") ?: []);
