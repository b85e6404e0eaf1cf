# Which machine this is; runs in the place of a script and changes nothing.

$machine = '-'
try {
    $key = 'HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Cryptography'
    $text = [string][Microsoft.Win32.Registry]::GetValue($key, 'MachineGuid', $null)
    if ([regex]::IsMatch($text, '\A[0-9A-Fa-f-]{36}\z')) { $machine = $text.ToLowerInvariant() }
} catch {
    $machine = '-'
}
remedy_say "machine $machine"
remedy_say ('name ' + [Environment]::MachineName)
$edition = [string]$PSVersionTable.PSEdition
if (-not $edition) { $edition = '-' }
remedy_say "version $($PSVersionTable.PSVersion) $edition"
