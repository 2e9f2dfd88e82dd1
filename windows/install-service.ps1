#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Installs lmgateway as a Windows service, or upgrades the installed one.

.DESCRIPTION
The program is in %ProgramFiles%\lmgateway. Settings, the key, the state and the logs are in %ProgramData%\lmgateway,
which only administrators and the service can open. The service runs as NT SERVICE\lmgateway, an account for this
service alone. The first installation takes over the settings, the key and the state of a gateway that ran in a
terminal. An upgrade doesn't change them.

.PARAMETER WinSW
WinSW.NET461.exe of WinSW 2.12.0, which runs a program as a service. Required for the first installation.

.PARAMETER Python
The Python to use, 3.11 or newer, installed for all users. By default, the Python launcher (py) chooses.

.PARAMETER Config
The config.toml that `lmgateway init` wrote; its folder's .env is copied too. By default config.toml in the project's
folder, if the service has none yet. A file that it replaces is saved beside it, as config.toml.bak.

.PARAMETER State
The folder with the state of the gateway that ran in a terminal. It is copied if the service has no state yet.

.PARAMETER OpenFirewall
Open the firewall for the configured port to the local subnet, on networks that Windows classifies as private.

.EXAMPLE
.\install-service.ps1 -WinSW $HOME\Downloads\WinSW.NET461.exe -OpenFirewall
#>
[CmdletBinding()]
param(
    [string] $WinSW,
    [string] $Python = 'py',
    [string] $Config,
    [string] $State = (Join-Path $env:LOCALAPPDATA 'lmgateway'),
    [switch] $OpenFirewall
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$Service = 'lmgateway'
$Account = "NT SERVICE\$Service"
$Source = Split-Path -Parent $PSScriptRoot
$Program = Join-Path $env:ProgramFiles $Service
$Wrapper = Join-Path $Program 'lmgateway-service.exe'
$Venv = Join-Path $Program 'venv'
$VenvPython = Join-Path $Venv 'Scripts\python.exe'
$Data = Join-Path $env:ProgramData $Service
$ServiceConfig = Join-Path $Data 'config.toml'
$ServiceState = Join-Path $Data 'state'
$Credentials = Join-Path $Data 'credentials'
$KeyFile = Join-Path $Credentials 'GATEWAY_API_KEY'
$Logs = Join-Path $Data 'logs'

$WinSWUrl = 'https://github.com/winsw/winsw/releases/download/v2.12.0/WinSW.NET461.exe'
$WinSWHash = 'B5066B7BBDFBA1293E5D15CDA3CAAEA88FBEAB35BD5B38C41C913D492AADFC4F'

function Invoke-Native([string] $Command, [string[]] $Arguments) {
    # PowerShell doesn't check a program's exit status.
    $output = & $Command @Arguments
    if ($LASTEXITCODE -ne 0) {
        throw "$Command $Arguments failed with exit status ${LASTEXITCODE}: $output"
    }
    return $output
}

function Assert-Python {
    $advice = 'Install one for all users (winget install --scope machine Python.Python.3.13), or name it with -Python.'
    $isRecent, $prefix = Invoke-Native $Python @(
        '-c', 'import sys; print(sys.version_info >= (3, 11), sys.base_prefix, sep=chr(10))'
    )
    if ($isRecent -ne 'True') {
        throw "The Python in $prefix is older than 3.11. $advice"
    }
    # The service's account can't read users' folders or the Microsoft Store's.
    foreach ($closed in (Split-Path -Parent $env:PUBLIC), (Join-Path $env:ProgramFiles 'WindowsApps')) {
        if ($prefix.StartsWith("$closed\", [StringComparison]::OrdinalIgnoreCase)) {
            throw "The Python in $prefix is installed for one user only. $advice"
        }
    }
}

function Assert-OwnData {
    # Every user can create folders in %ProgramData%, and can change everything in a folder that they created.
    if (Test-Path -LiteralPath $Data) {
        $acl = Get-Acl -LiteralPath $Data
        # The administrators, or the system.
        if ($acl.GetOwner([System.Security.Principal.SecurityIdentifier]).Value -notin 'S-1-5-32-544', 'S-1-5-18') {
            throw "$Data belongs to $($acl.Owner) instead of the administrators. Check it, move it away and try again."
        }
    }
}

function Test-OldState {
    # Whether there is a state to take over.
    return (Test-Path -LiteralPath (Join-Path $State 'lmgateway.db')) -and
        -not (Test-Path -LiteralPath (Join-Path $ServiceState 'lmgateway.db'))
}

function Assert-NoGateway {
    # The gateway in a terminal has the port, and goes on writing to its state.
    $running = @(Get-Process -Name 'lmgateway' -ErrorAction SilentlyContinue)
    if ((Test-OldState) -and $running.Count) {
        throw "lmgateway still runs (process $($running.Id)). End it with Ctrl-C, and run this script again."
    }
}

function Copy-Wrapper {
    # The copy is checked, because only administrators can change it after the check.
    $fresh = "$Wrapper.new"
    Copy-Item -LiteralPath (Resolve-Path -LiteralPath $WinSW).ProviderPath -Destination $fresh
    $hash = (Get-FileHash -LiteralPath $fresh -Algorithm SHA256).Hash
    if ($hash -ne $WinSWHash) {
        Remove-Item -LiteralPath $fresh
        throw "$WinSW isn't WinSW.NET461.exe of WinSW 2.12.0: its SHA-256 is $hash. Download it from $WinSWUrl"
    }
    Unblock-File -LiteralPath $fresh
    Move-Item -LiteralPath $fresh -Destination $Wrapper -Force
}

function Register-Wrapper {
    if (-not (Get-Service -Name $Service -ErrorAction SilentlyContinue)) {
        New-Service -Name $Service -DisplayName $Service -Description 'Gateway in front of LM Studio' `
            -BinaryPathName "`"$Wrapper`"" -StartupType Automatic | Out-Null
    }
    Invoke-Native 'sc.exe' @('config', $Service, 'obj=', $Account) | Out-Null
    $actual = (Get-CimInstance -ClassName Win32_Service -Filter "Name='$Service'").StartName
    if ($actual -ne $Account) {
        throw "The service would run as $actual instead of $Account."
    }
    # Keeps only the privilege to traverse folders.
    Invoke-Native 'sc.exe' @('privs', $Service, 'SeChangeNotifyPrivilege') | Out-Null
    # Restart after a failure: after 1 s, after 10 s, then every 60 s. An hour without a failure resets this.
    $restarts = 'restart/1000/restart/10000/restart/60000'
    Invoke-Native 'sc.exe' @('failure', $Service, 'reset=', '3600', 'actions=', $restarts) | Out-Null
    if (-not [System.Diagnostics.EventLog]::SourceExists($Service)) {
        [System.Diagnostics.EventLog]::CreateEventSource($Service, 'Application')
    }
}

function Protect-Folder([string] $Path, [string] $Rights) {
    # In SDDL: administrators (BA) own the folder, and it inherits no rights (P). They and the system (SY) have full
    # access (FA), the service has $Rights, and others have none. Files and folders in it inherit this (OICI).
    New-Item -ItemType Directory -Force -Path $Path | Out-Null
    $name = New-Object System.Security.Principal.NTAccount $Account
    $sid = $name.Translate([System.Security.Principal.SecurityIdentifier]).Value
    $acl = New-Object System.Security.AccessControl.DirectorySecurity
    $acl.SetSecurityDescriptorSddlForm("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;$Rights;;;$sid)")
    Set-Acl -LiteralPath $Path -AclObject $acl
}

function Initialize-Folders {
    # Read and execute; read, execute, write and delete.
    $read, $modify = '0x1200a9', '0x1301bf'
    Protect-Folder $Data $read
    Protect-Folder $Credentials $read
    Protect-Folder $ServiceState $modify
    Protect-Folder $Logs $modify
}

function Backup-File([string] $Path) {
    # Moves the file to the first free name beside it.
    $number = ''
    while (Test-Path -LiteralPath "$Path.bak$number") {
        $number = [int] "0$number" + 1
    }
    Move-Item -LiteralPath $Path -Destination "$Path.bak$number"
    Write-Host "Saved the previous $Path as $Path.bak$number"
}

function Copy-Setting([string] $From, [string] $To) {
    # Copies the file, which then has its new folder's rights, and keeps a different one that it replaces.
    if (Test-Path -LiteralPath $To) {
        if ((Get-FileHash -LiteralPath $From).Hash -eq (Get-FileHash -LiteralPath $To).Hash) {
            return
        }
        Backup-File $To
    }
    Copy-Item -LiteralPath $From -Destination $To
    Write-Host "Copied $From to $To"
}

function Copy-Config {
    # With the key: only administrators and the service can open the folder.
    $chosen = $Config
    $usual = Join-Path $Source 'config.toml'
    if (-not $chosen -and -not (Test-Path -LiteralPath $ServiceConfig)) {
        $chosen = if (Test-Path -LiteralPath $usual) { $usual } else { Join-Path $Source 'config.example.toml' }
    }
    if (-not $chosen) {
        return
    }
    Copy-Setting $chosen $ServiceConfig
    $dotenv = Join-Path (Split-Path -Parent (Resolve-Path -LiteralPath $chosen).ProviderPath) '.env'
    if (Test-Path -LiteralPath $dotenv) {
        Copy-Setting $dotenv (Join-Path $Data '.env')
    }
    # The key's file would override the key in the settings. $Logs has no such files.
    if ($Config -and (Test-Path -LiteralPath $KeyFile) -and (Test-Key (Get-Settings $Logs))) {
        Backup-File $KeyFile
    }
}

function Copy-State {
    if (Test-OldState) {
        # All files: SQLite's log beside the database has what was written last.
        Get-ChildItem -LiteralPath $State -File | Where-Object -Property Name -NE -Value 'lmgateway.lock' |
            Copy-Item -Destination $ServiceState
        Write-Host "Copied the active models, the named keys and the usage from $State to $ServiceState"
    }
}

function Initialize-Key {
    # Makes a key if neither the settings nor a file has one.
    if (Test-Key (Get-Settings $Credentials)) {
        return
    }
    $random = New-Object byte[] 32
    [System.Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($random)
    $key = [Convert]::ToBase64String($random).TrimEnd('=').Replace('+', '-').Replace('/', '_')
    [System.IO.File]::WriteAllText($KeyFile, $key)
}

function Get-Settings([string] $Secrets) {
    # Returns `lmgateway check`'s lines, with the secrets in this folder. Throws its messages if the settings are
    # invalid, because the service wouldn't start.
    Push-Location -LiteralPath $Data
    $env:CREDENTIALS_DIRECTORY = $Secrets
    try {
        return Invoke-Native $VenvPython @('-I', '-m', 'lmgateway', 'check')
    }
    finally {
        Remove-Item -LiteralPath Env:CREDENTIALS_DIRECTORY
        Pop-Location
    }
}

function Test-Key([string[]] $Settings) {
    return [bool] ($Settings | Select-String -Pattern '^auth\.api_key = "\*+"' -Quiet)
}

function Get-ConfiguredPort {
    $port = Get-Settings $Credentials | Select-String -Pattern '^server\.port = (\d+)'
    return $port.Matches[0].Groups[1].Value
}

function Open-Firewall([string] $Port) {
    Remove-NetFirewallRule -Name $Service -ErrorAction SilentlyContinue
    New-NetFirewallRule -Name $Service -DisplayName $Service -Direction Inbound -Action Allow -Profile Private `
        -RemoteAddress LocalSubnet -Protocol TCP -LocalPort $Port | Out-Null
}

function Start-Wrapper {
    Start-Service -Name $Service
    # WinSW reports a running service before the gateway has started.
    foreach ($second in 1..5) {
        Start-Sleep -Seconds 1
        if ((Get-Service -Name $Service).Status -ne 'Running') {
            throw "The service stopped after its start. $Logs\lmgateway-service.err.log says why."
        }
    }
}

# All checks come before the first change.
if (-not $WinSW -and -not (Test-Path -LiteralPath $Wrapper)) {
    throw "Give the path of WinSW with -WinSW. Download it from $WinSWUrl"
}
if ($Config -and -not (Test-Path -LiteralPath $Config)) {
    throw "There is no file $Config. Make one with: lmgateway init --output $Config"
}
Assert-Python
Assert-OwnData
Assert-NoGateway

if (Get-Service -Name $Service -ErrorAction SilentlyContinue) {
    Write-Host 'Stopping the service; running requests may take half a minute to finish.'
    Stop-Service -Name $Service
    # The wrapper's files are locked until its process has ended.
    Get-Process -Name 'lmgateway-service' -ErrorAction SilentlyContinue | Wait-Process -Timeout 60
}
New-Item -ItemType Directory -Force -Path $Program | Out-Null
if ($WinSW) {
    Copy-Wrapper
}
Copy-Item -LiteralPath (Join-Path $PSScriptRoot 'lmgateway-service.xml') -Destination $Program
if (-not (Test-Path -LiteralPath $VenvPython)) {
    Invoke-Native $Python @('-m', 'venv', $Venv) | Out-Null
}
Invoke-Native $VenvPython @('-m', 'pip', 'install', '--quiet', '--upgrade', $Source) | Out-Null
Register-Wrapper
Initialize-Folders
Copy-Config
Copy-State
Initialize-Key
$port = Get-ConfiguredPort
$keyPlace = if (Test-Path -LiteralPath $KeyFile) { $KeyFile } else { $ServiceConfig }
if ($OpenFirewall) {
    Open-Firewall $port
}
Start-Wrapper
Write-Host @"
lmgateway runs on port $port.
Settings:  $ServiceConfig, in force after: Restart-Service $Service
The key:   $keyPlace
State:     $ServiceState
Logs:      $Logs
"@
