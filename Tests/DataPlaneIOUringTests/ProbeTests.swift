import Glibc
import PlaneKit
import PlaneTestKit
import RelayWorker
import Testing

@testable import DataPlaneIOUring

@Suite struct ProbeTests {
    @Test(.enabled(if: PlaneUnderTest.usable.contains(.ioUring), "needs io_uring; relayd doctor says why not"))
    func theProbeSaysWhatItWillDo() throws {
        let probed = try IOUringPlane().probe()
        #expect(probed.description.hasPrefix("multishot recvmsg, batched sendmsg, "))
        let off = try IOUringPlane(offloads: .none, defersWork: false, registersFiles: false).probe()
        #expect(
            off.description
                == "multishot recvmsg, batched sendmsg, cooperative work, GRO off, GSO off, raw sending off")
        #expect(IOUringPlane().name == "io-uring")
    }

    @Test(
        "Sockets are registered where the kernel lets go of them at once, since Linux 6.13",
        .enabled(if: PlaneUnderTest.usable.contains(.ioUring), "needs io_uring; relayd doctor says why not"))
    func registeredFiles() throws {
        var system = utsname()
        uname(&system)
        let release = withUnsafeBytes(of: system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        let letsGo = numbers[0] > 6 || (numbers[0] == 6 && numbers[1] >= 13)
        #expect(try IOUringPlane().probe().registersFiles == letsGo, "\(release)")
    }

    @Test(
        "A polling thread has every datagram as a request, so no raw socket sends any",
        .enabled(if: PlaneUnderTest.usable.contains(.pollingIOUring), "needs sqpoll; relayd doctor says why not"))
    func noRawSendingBesideAPollingThread() throws {
        let probed = try IOUringPlane(features: .sqpoll).probe()
        #expect(!probed.offloads.rawSending)
        #expect(probed.description.contains("raw sending off"))
    }

    @Test(
        "What was asked for is tried and told",
        .enabled(if: PlaneUnderTest.usable.contains(.ioUring), "needs io_uring; relayd doctor says why not"),
        arguments: [RingFeatures.sqpoll, .napi, .zeroCopy, [.sqpoll, .napi, .zeroCopy]])
    func features(_ asked: RingFeatures) throws {
        do throws(PlaneError) {
            let probed = try IOUringPlane(offloads: .none, features: asked).probe()
            let work = asked.contains(.sqpoll) ? "polled" : probed.isDeferred ? "deferred" : "cooperative"
            let files = probed.registersFiles ? "registered files, " : ""
            #expect(
                probed.description
                    == "multishot recvmsg, batched sendmsg, \(work) work, \(files)GRO off, GSO off, raw sending off, \(asked)"
            )
        } catch {
            // An older kernel, or one built without.
            #expect(error.mend.contains("io-uring-features"), "\(error)")
            let names = asked.each.map(\.description) + [asked.description]
            #expect(names.contains { error.what.hasPrefix("\($0) of io-uring-features") }, "\(error)")
        }
    }

    @Test func featuresHaveNames() {
        for feature in [RingFeatures.sqpoll, .napi, .zeroCopy] {
            #expect(RingFeatures(named: feature.description) == feature)
        }
        #expect(RingFeatures(named: "bundles") == nil)
        #expect(RingFeatures([.zeroCopy, .sqpoll]).description == "sqpoll, zero-copy")
    }

    @Test(
        "A feature that is refused is named, with the kernel that has it",
        arguments: [
            (RingFeatures.sqpoll, EPERM, "not permitted", "Linux 6.0"),
            (.napi, EINVAL, "does not know it", "Linux 6.9"),
            (.napi, EOPNOTSUPP, "CONFIG_NET_RX_BUSY_POLL", "Linux 6.9"),
            (.zeroCopy, EINVAL, "does not know it", "Linux 6.1"),
        ])
    func aRefusedFeature(_ feature: RingFeatures, _ number: Int32, _ why: String, _ mend: String) {
        let error = PlaneError(RingError(step: .send, errno: number), of: feature)
        #expect(error.what.hasPrefix("\(feature) of io-uring-features"))
        #expect(error.why.contains(why))
        #expect(error.mend.contains(mend) && error.mend.contains("leave \(feature) out"))
    }

    @Test func featuresThatDoNotGoTogetherAreNamed() {
        let error = PlaneError(RingError(step: .setup, errno: EINVAL), together: [.sqpoll, .zeroCopy])
        #expect(error.what == "sqpoll, zero-copy of io-uring-features")
        #expect(error.why.contains("not all together"))
        #expect(error.mend.contains("Leave one of them out"))
    }

    @Test(
        "A limit that any ring can meet is no feature's fault",
        arguments: [
            (RingError.Step.files, EMFILE, "registering sockets", "ulimit -n"),
            (.buffers, ENOMEM, "registering buffers", "ulimit -l"),
        ])
    func aLimitIsNotAFeature(_ step: RingError.Step, _ number: Int32, _ what: String, _ mend: String) {
        let error = RingError(step: step, errno: number)
        for told in [PlaneError(error, of: .napi), PlaneError(error, together: [.sqpoll, .napi])] {
            #expect(told.what.hasPrefix(what))
            #expect(told.mend.contains(mend) && !told.mend.contains("io-uring-features"))
        }
    }

    @Test(
        "Each reason names itself, and says what to do",
        arguments: [
            (EPERM, "seccomp", "io_uring_setup"), (ENOSYS, "without io_uring", "Linux 6.0"),
            (ENOMEM, "locked memory", "ulimit -l"), (EINVAL, "SINGLE_ISSUER", "Linux 6.0"),
            (EMFILE, "Too many open files", "ulimit -n"),
        ])
    func setupRefused(_ number: Int32, _ why: String, _ mend: String) {
        let error = PlaneError(RingError(step: .setup, errno: number), disabled: 0)
        #expect(error.what == "io_uring_setup")
        #expect(error.why.contains(why))
        #expect(error.mend.contains(mend))
    }

    @Test(
        "Want of memory is not the limit of open files, and no defect",
        arguments: [
            (RingError.Step.files, EMFILE, "ulimit -n"), (.files, ENOMEM, "memory.max"), (.files, EINVAL, "Linux 6.0"),
            (.enter, ENOMEM, "memory.max"), (.enter, EAGAIN, "memory.max"), (.enter, EBADR, "memory.max"),
            (.enter, EFAULT, "report it"),
        ])
    func useRefused(_ step: RingError.Step, _ number: Int32, _ mend: String) {
        let error = PlaneError(RingError(step: step, errno: number))
        #expect(error.mend.contains(mend))
        #expect(error.mend.contains("ulimit -n") == (number == EMFILE))
        #expect(error.mend.contains("report it") == (number == EFAULT))
    }

    @Test func aRingIsGivenUpAfterManyRefusalsInARow() throws {
        for number in [EAGAIN, EBUSY] {
            var refusals = EntryRefusals()
            for _ in 0..<3 {
                for _ in 1..<EntryRefusals.limit { try refusals.note(-number) }
                try refusals.note(0)
                #expect(refusals.count == 0)
            }
            for _ in 1..<EntryRefusals.limit { try refusals.note(-number) }
            #expect(throws: RingError.self) { try refusals.note(-number) }
        }
        var refusals = EntryRefusals()
        #expect(throws: RingError.self) { try refusals.note(-ENOMEM) }
    }

    @Test(arguments: [1, 2])
    func theAdministratorsSwitchIsNamed(_ value: Int) {
        let error = PlaneError(RingError(step: .setup, errno: EPERM), disabled: value)
        #expect(error.why.contains("kernel.io_uring_disabled=\(value)"))
        #expect(error.mend.contains("Set it to 0"))
    }

    @Test(
        "A kernel that lacks a piece: the piece is named",
        arguments: [
            (RingError.Step.buffers, "rings of provided buffers"), (.receive, "multishot recvmsg"), (.files, "sockets"),
        ])
    func aMissingPiece(_ step: RingError.Step, _ name: String) {
        #expect("\(PlaneError(RingError(step: step, errno: EINVAL)))".contains(name))
    }
}
