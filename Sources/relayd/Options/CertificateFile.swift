import SystemPackage

/// A file of certificates in PEM.
enum CertificateFile {
    /// - Parameter key: the option that named the file, for the messages.
    static func read(_ path: String, for key: OptionKey) throws(OptionProblem) -> String {
        let text: String
        do throws(Errno) {
            text = try TextFile.read(path)
        } catch {
            throw OptionProblem("\(key.rawValue): \(path) cannot be read: \(error)")
        }
        guard text.contains("-----BEGIN CERTIFICATE-----") else {
            throw OptionProblem("\(key.rawValue): \(path) has no certificate in it; give certificates in PEM")
        }
        return text
    }
}
