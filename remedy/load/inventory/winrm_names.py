"""Ansible's variables of the connection plugin `winrm` by their names: read, without effect, or worth showing."""

__all__ = [
    "ADDRESS_NAMES",
    "CA",
    "CERTIFICATE",
    "COMPUTER_NAME",
    "ENCRYPTION",
    "FINGERPRINT",
    "HARMLESS",
    "KEY",
    "KNOWN",
    "MACHINE_ID",
    "PASSWORD_NAMES",
    "PORT_NAMES",
    "READ",
    "TRANSPORT",
    "USER_NAMES",
    "VALIDATION",
    "WINRM_VARIABLES",
]

ADDRESS_NAMES = ("ansible_host", "ansible_winrm_host")
PORT_NAMES = ("ansible_port", "ansible_winrm_port")
USER_NAMES = ("ansible_user", "ansible_winrm_user")
PASSWORD_NAMES = ("ansible_password", "ansible_winrm_password", "ansible_winrm_pass")
TRANSPORT = "ansible_winrm_transport"
ENCRYPTION = "ansible_winrm_message_encryption"
VALIDATION = "ansible_winrm_server_cert_validation"
CA = "ansible_winrm_ca_trust_path"
CERTIFICATE = "ansible_winrm_cert_pem"
KEY = "ansible_winrm_cert_key_pem"
FINGERPRINT = "remedy_winrm_fingerprint"
MACHINE_ID = "remedy_machine_id"
COMPUTER_NAME = "remedy_computer_name"

READ = frozenset(
    {
        *(*ADDRESS_NAMES, *PORT_NAMES, *USER_NAMES, *PASSWORD_NAMES),
        *(TRANSPORT, ENCRYPTION, VALIDATION, CA, CERTIFICATE, KEY),
        "ansible_winrm_scheme",
        "ansible_winrm_path",
    }
)
HARMLESS = frozenset(
    {
        # How long to wait: remedy has deadlines of its own.
        "ansible_winrm_connection_timeout",
        "ansible_winrm_operation_timeout_sec",
        "ansible_winrm_read_timeout_sec",
        # How Ansible gets a ticket: remedy takes the one that is there, and only for the account that is named.
        "ansible_winrm_kinit_args",
        "ansible_winrm_kinit_cmd",
        "ansible_winrm_kinit_env_vars",
        "ansible_winrm_kinit_mode",
        # pywinrm takes these and does nothing with them.
        "ansible_winrm_keytab",
        "ansible_winrm_realm",
        # Only for CredSSP, which is refused.
        "ansible_winrm_credssp_auth_mechanism",
        "ansible_winrm_credssp_disable_tlsv1_2",
        "ansible_winrm_credssp_minimum_version",
    }
)
WINRM_VARIABLES = (READ | HARMLESS) - {"ansible_winrm_kinit_args", "ansible_winrm_kinit_env_vars"}
"""Variables of WinRM whose values may be shown, but for passwords."""
KNOWN = (
    READ
    | HARMLESS
    | {
        "ansible_winrm_kerberos_delegation",
        "ansible_winrm_kerberos_hostname_override",
        "ansible_winrm_proxy",
        "ansible_winrm_send_cbt",
        "ansible_winrm_service",
    }
)
"""Every variable that Ansible's plugin has, whatever becomes of it: what is not among them is mistyped."""
