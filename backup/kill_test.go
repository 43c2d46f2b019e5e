package backup

const childVariable = "MOODLE_EXPORTER_BACKUP_CHILD"

func childMain() int { return 0 }
