<?php
require_once(__DIR__ . '/config.php');
header('Content-Type: text/html; charset=utf-8');
echo '<!DOCTYPE html><html lang="en"><title>Home | ', htmlspecialchars(site_name()), '</title><p><a href="login/index.php">Log in</a></p></html>';
