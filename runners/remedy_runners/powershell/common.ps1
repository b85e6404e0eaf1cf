# What the payloads of remedy share. Each begins with the line `$values = ...`; all of
# it is read through $values, never from the payload's own text.
# A path is looked at through .NET alone: cmdlets take [ and * in it for patterns.

# A line for the controller, told from what scripts print by the nonce.
function remedy_say {
    param([string]$words)
    [Console]::Write("`n" + $values.nonce + ' ' + $words + "`n")
}

function remedy_is_windows {
    return [string][IO.Path]::DirectorySeparatorChar -eq '\'
}

# Where markers, lock and hold file are; '' when the system does not say.
function remedy_root {
    if ($null -ne $values.root) { return [string]$values.root }
    $data = [Environment]::GetFolderPath('CommonApplicationData')
    if (-not $data) { return '' }
    return [IO.Path]::Combine($data, 'remedy')
}

# What is at a path: absent, file, directory; odd when that cannot be told, or it is a link.
function remedy_kind {
    param([string]$path)
    try {
        $attributes = [int][IO.File]::GetAttributes($path)
    } catch {
        $why = $_.Exception.GetBaseException()
        if ($why -is [IO.FileNotFoundException]) { return 'absent' }
        if ($why -is [IO.DirectoryNotFoundException]) { return 'absent' }
        return 'odd'
    }
    if ($attributes -band 1024) { return 'odd' }
    if ($attributes -band 16) { return 'directory' }
    return 'file'
}

# A small file of ours, all of it: $null when there is none, '' when it is not as we leave files.
function remedy_read {
    param([string]$path)
    $kind = remedy_kind $path
    if ($kind -eq 'absent') { return $null }
    if ($kind -ne 'file') { return '' }
    $text = ''
    try {
        $file = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
        try {
            $bytes = New-Object byte[] 401
            $count = $file.Read($bytes, 0, 401)
        } finally {
            $file.Dispose()
        }
        if ($count -le 400) { $text = [Text.Encoding]::ASCII.GetString($bytes, 0, $count) }
    } catch {
        return ''
    }
    if (-not $text.EndsWith("`n", [StringComparison]::Ordinal)) { return '' }
    return $text
}

# Changes with every start of the system and never with the clock; - when it cannot be told.
# On Windows it is BootId of KUSER_SHARED_DATA, a page that every process has at 0x7FFE0000:
# Windows 10 and Server 2016 count their starts there, older ones have 0.
function remedy_boot_id {
    try {
        if (remedy_is_windows) {
            $number = [Runtime.InteropServices.Marshal]::ReadInt32([IntPtr]0x7FFE02C4)
            if ($number -eq 0) { return '-' }
            return 'windows-' + $number.ToString('x8')
        }
        $text = [IO.File]::ReadAllText('/proc/sys/kernel/random/boot_id').Trim()
        if ([regex]::IsMatch($text, '\A[0-9a-f-]{36}\z')) { return $text }
    } catch {
        return '-'
    }
    return '-'
}

# When a process was started, in ticks, which tells it from a later one of the same number:
# '' when there is no such process, - when that cannot be told.
function remedy_born {
    param([int]$id)
    try {
        if (remedy_is_windows) {
            $process = [Diagnostics.Process]::GetProcessById($id)
            return $process.StartTime.ToUniversalTime().Ticks.ToString('d')
        }
        $stat = [IO.File]::ReadAllText("/proc/$id/stat")
        $words = -split $stat.Substring($stat.LastIndexOf([char]')') + 1)
        if ($words[0] -eq 'Z' -or $words[0] -eq 'X') { return '' }
        if ([regex]::IsMatch($words[19], '\A[0-9]{1,20}\z')) { return $words[19] }
    } catch {
        $why = $_.Exception.GetBaseException()
        if ($why -is [ArgumentException] -and (remedy_is_windows)) { return '' }
        if ($why -is [IO.FileNotFoundException]) { return '' }
        if ($why -is [IO.DirectoryNotFoundException]) { return '' }
        return '-'
    }
    return '-'
}

# For how many whole seconds the system has been up, by a clock that nobody can set.
function remedy_up_s {
    return [long][math]::Floor([Diagnostics.Stopwatch]::GetTimestamp() / [Diagnostics.Stopwatch]::Frequency)
}

function remedy_is_administrator {
    try {
        if (remedy_is_windows) {
            $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
            $principal = New-Object Security.Principal.WindowsPrincipal $identity
            return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
        }
        return [Environment]::UserName -eq 'root'
    } catch {
        return $false
    }
}

# The environment variables that scripts of both platforms read; nobody else's may stay.
function remedy_set_environment {
    Remove-Item -Path 'Env:REMEDY_*'
    foreach ($each in $values.environment) {
        [Environment]::SetEnvironmentVariable($each[0], $each[1])
    }
}
