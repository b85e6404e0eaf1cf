# Before a collector: its values, and the functions `emit` and `not_applicable`.
# They are global, for the script runs in a scope of its own, and must do under
# strict mode too, which the script may set. Rows go past PowerShell's formatting,
# which folds long lines and holds tables back.

$global:_remedy_columns = @{}
foreach ($each in $values.columns) {
    $global:_remedy_columns[$each[0]] = $each[1]
}

# Text as everybody reads it, whatever the system's language.
function global:_remedy_text {
    param($value)
    if ($null -eq $value) { return '' }
    if ($value -is [double] -or $value -is [single]) {
        return $value.ToString('R', [Globalization.CultureInfo]::InvariantCulture)
    }
    return [string]$value
}

# A JSON string in ASCII.
function global:_remedy_json {
    param([string]$text)
    if ([regex]::IsMatch($text, '\A[ !#-\[\]-~]*\z')) { return '"' + $text + '"' }
    $out = New-Object Text.StringBuilder
    foreach ($each in $text.ToCharArray()) {
        $code = [int]$each
        if ($code -lt 32 -or $code -gt 126 -or $code -eq 34 -or $code -eq 92) {
            [void]$out.Append('\u' + $code.ToString('x4'))
        } else {
            [void]$out.Append($each)
        }
    }
    return '"' + $out.ToString() + '"'
}

# A text that is a JSON number surely below 1e308, else null.
function global:_remedy_number {
    param([string]$text)
    $found = [regex]::Match($text, '\A-?(?<whole>0|[1-9][0-9]*)(\.[0-9]+)?([eE](?<sign>[-+]?)(?<power>[0-9]+))?\z')
    if (-not $found.Success) { return 'null' }
    $whole = $found.Groups['whole'].Value
    $power = $found.Groups['power'].Value.TrimStart('0')
    if ($power.Length -gt 4) { return 'null' }
    if ($power -eq '' -or $found.Groups['sign'].Value -eq '-') { $power = '0' }
    if ($whole.Length + [int]$power -gt 308) { return 'null' }
    return $text
}

# emit NAME VALUE NAME VALUE ...: one row. What is empty or not of the column's type is null.
function global:emit {
    $row = ''
    for ($at = 0; $at -lt $args.Count; $at += 2) {
        $name = _remedy_text ($args[$at])
        $value = $null
        if ($at + 1 -lt $args.Count) { $value = $args[$at + 1] }
        $text = _remedy_text $value
        $type = [string]$global:_remedy_columns[$name]
        $json = 'null'
        if ($type -eq 'number') {
            $json = _remedy_number $text
        } elseif ($type -eq 'boolean') {
            if ($value -is [bool]) { $text = $text.ToLowerInvariant() }
            if ($text -ceq 'true' -or $text -ceq 'false') { $json = $text }
        } elseif ($text -ne '') {
            $json = _remedy_json $text
        }
        if ($row -ne '') { $row += ',' }
        $row += (_remedy_json $name) + ':' + $json
    }
    [Console]::Write('{' + $row + "}`n")
}

# not_applicable REASON: the signal means nothing on this host; ends the collector.
function global:not_applicable {
    $reason = ''
    if ($args.Count -gt 0) { $reason = _remedy_text ($args[0]) }
    [Console]::Write('{"not_applicable":' + (_remedy_json $reason) + "}`n")
    exit 0
}

remedy_set_environment
remedy_say ('started ' + (remedy_boot_id))
$values.remedy
