<?php
// Stand-in for Moodle's lib/clilib.php: options, plugins and versions for the scripts in admin/cli.

foreach (['ALPHA' => 50, 'BETA' => 100, 'RC' => 150, 'STABLE' => 200] as $name => $maturity) {
    defined("MATURITY_$name") || define("MATURITY_$name", $maturity);
}
unset($name, $maturity);

/** Reads options of the form --name, --name=value, -n; unknown ones end the script as Moodle's do. */
function cli_options(array $defaults, array $short = [], int $unknowncode = 1): array {
    $options = $defaults;
    foreach (array_slice($_SERVER['argv'], 1) as $argument) {
        if (!preg_match('/^(--|-)([\w-]+?)(?:=(.*))?$/s', $argument, $parts)) {
            continue;
        }
        $name = $parts[1] === '-' ? ($short[$parts[2]] ?? null) : $parts[2];
        if ($name === null || !array_key_exists($name, $defaults)) {
            fwrite(STDERR, "Unrecognised options:\n  $argument\nPlease use --help option.\n");
            exit($unknowncode);
        }
        $options[$name] = $parts[3] ?? true;
    }
    return $options;
}

/** The version, release, branch and maturity of the code on disk. */
function code_version(): stdClass {
    global $CFG;
    $version = $release = $branch = $maturity = null;
    require "$CFG->dirroot/version.php";
    return (object) compact('version', 'release', 'branch', 'maturity');
}

/** Plugin versions on disk, by component name. */
function plugins_on_disk(): array {
    global $CFG;
    $found = [];
    $types = json_decode(file_get_contents("$CFG->root/lib/components.json"), true)['plugintypes'];
    foreach ($types as $type => $dir) {
        foreach (glob("$CFG->root/$dir/*/version.php") as $file) {
            $plugin = new stdClass();
            require $file;
            if (str_starts_with($plugin->component ?? '', "{$type}_")) {
                $found[$plugin->component] = (string) $plugin->version;
            }
        }
    }
    return $found;
}

function plugins_installed(): array {
    return array_column(sql_rows("SELECT plugin, value FROM {config_plugins} WHERE name = 'version'"), 'value', 'plugin');
}

/** Components that Moodle ships itself. */
function plugins_standard(): array {
    global $CFG;
    $standard = [];
    foreach (json_decode(file_get_contents("$CFG->root/lib/plugins.json"), true)['standard'] as $type => $names) {
        foreach ($names as $name) {
            $standard[] = "{$type}_$name";
        }
    }
    return $standard;
}

/** Whether code and database differ: as Moodle does, by the hash of all versions that the last upgrade has left. */
function upgrade_pending(): bool {
    global $CFG;
    if ((float) code_version()->version > (float) $CFG->version) {
        return true;
    }
    $left = (string) ($CFG->allversionshash ?? '');
    if (str_starts_with($left, 'standin')) {
        return $left !== versions_hash();
    }
    // That of a site that no upgrade of the stand-in has seen means nothing here.
    return plugins_on_disk() != plugins_installed();
}

/** A hash of all versions on disk: a plugin whose code is lost changes it as well, until the next upgrade. */
function versions_hash(): string {
    $versions = ['core' => (string) code_version()->version] + plugins_on_disk();
    ksort($versions);
    return 'standin' . substr(sha1(json_encode($versions)), 7);
}
