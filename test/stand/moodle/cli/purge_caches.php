<?php
define('CLI_SCRIPT', true);
require(__DIR__ . '/../../config.php');
require_once($CFG->libdir . '/clilib.php');

cli_options(array_fill_keys(['muc', 'theme', 'lang', 'js', 'filter', 'other', 'courses', 'help'], false), ['h' => 'help'], 2);
foreach ([$CFG->cachedir, $CFG->localcachedir] as $dir) {
    if (!is_dir($dir)) {
        continue;
    }
    $all = new RecursiveIteratorIterator(new RecursiveDirectoryIterator($dir, FilesystemIterator::SKIP_DOTS), RecursiveIteratorIterator::CHILD_FIRST);
    foreach ($all as $path => $entry) {
        $entry->isDir() && !$entry->isLink() ? rmdir($path) : unlink($path);
    }
}
foreach (['themerev', 'jsrev'] as $name) {
    set_config($name, (string) time());
}
