# Reads the markers of executions and changes nothing; runs in the place of a script.
# Asked in this order: is the end written, does the process live that will write it,
# and if not, is the end written now.

# yes or no; - when it cannot be told.
function remedy_alive {
    param([string]$id, [string]$born)
    if ($born -eq '-') { return '-' }
    $now = remedy_born ([int]$id)
    if ($now -eq '-') { return '-' }
    if ($now -eq $born) { return 'yes' }
    return 'no'
}

# How the fix ended, as the line for the controller has it; '' when no end is written.
function remedy_end {
    param([string]$marker, [string]$boot)
    $text = remedy_read ([IO.Path]::Combine($marker, 'rc'))
    if ($null -eq $text) { return '' }
    $found = [regex]::Match($text, '\A(?<end>-?[0-9]{1,10} [01])\n\z')
    if (-not $found.Success) { return 'odd - - -' }
    return "ended $boot $($found.Groups['end'].Value) -"
}

function remedy_look {
    param([string]$id)
    $kind = remedy_kind $root
    if ($kind -eq 'absent') { return 'absent - - -' }
    if ($kind -ne 'directory') { return 'odd - - -' }
    $marker = [IO.Path]::Combine($root, $id)
    $kind = remedy_kind $marker
    if ($kind -eq 'absent') { return 'absent - - -' }
    if ($kind -ne 'directory') { return 'odd - - -' }
    $text = [string](remedy_read ([IO.Path]::Combine($marker, 'start')))
    $lines = '\Aboot_id (?<boot>[0-9A-Za-z-]{1,64})\npid (?<pid>[0-9]{1,9})\nborn (?<born>[0-9]{1,20}|-)\n'
    $found = [regex]::Match($text, $lines)
    if (-not $found.Success) { return 'odd - - -' }
    $boot = $found.Groups['boot'].Value
    $end = remedy_end $marker $boot
    if ($end) { return $end }
    $alive = remedy_alive $found.Groups['pid'].Value $found.Groups['born'].Value
    $end = remedy_end $marker $boot
    if ($end) { return $end }
    return "started $boot - $alive"
}

$root = remedy_root
remedy_say ('started ' + (remedy_boot_id))
$who = 'user'
if (remedy_is_administrator) { $who = 'root' }
remedy_say "reader $who $(remedy_up_s)"
$index = 0
foreach ($each in $values.ids) {
    $found = 'odd - - -'
    if ($root) {
        try {
            $found = remedy_look $each
        } catch {
            $found = 'odd - - -'
        }
    }
    remedy_say "marker $index $found"
    $index += 1
}
remedy_say 'done'
