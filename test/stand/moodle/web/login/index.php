<?php
require_once(__DIR__ . '/../config.php');

// As with Moodle's database and file handlers, a visitor without a session gets a row of his own.
$sid = $_COOKIE['MoodleSession'] ?? '';
if (!preg_match('/^[a-z0-9]{26}$/', $sid)) {
    $sid = substr(bin2hex(random_bytes(16)), 0, 26);
    setcookie('MoodleSession', $sid, ['path' => '/', 'secure' => true, 'httponly' => true]);
}
$ip = $_SERVER['REMOTE_ADDR'] ?? '';
sql_run('INSERT INTO {sessions} (sid, userid, timecreated, timemodified, firstip, lastip) VALUES (?, 0, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE timemodified = VALUES(timemodified)', [$sid, time(), time(), $ip, $ip]);
header('Content-Type: text/html; charset=utf-8');
$name = htmlspecialchars(site_name());
?>
<!DOCTYPE html>
<html lang="en">
<head><title>Log in to the site | <?php echo $name ?></title></head>
<body id="page-login-index">
<h1><?php echo $name ?></h1>
<form action="index.php" method="post" id="login">
<input name="username" autocomplete="username"><input name="password" type="password"><button>Log in</button>
</form>
</body>
</html>
